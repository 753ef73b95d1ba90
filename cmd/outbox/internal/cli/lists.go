package cli

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/serverless-outbox/serverless-outbox/cmd/outbox/internal/view"
	"github.com/serverless-outbox/serverless-outbox/internal/pgadmin"
	"github.com/serverless-outbox/serverless-outbox/internal/redrive"
)

// Lists reads the tables of dead letters, of blocked lanes and of runs over dead-letter queues.
type Lists interface {
	// DeadLetters lists dead letters that pass the filters of r and have an id above after, in the order of their
	// ids, limit at most. With content they have payload and headers.
	DeadLetters(ctx context.Context, r *redrive.Request, after int64, limit int, content bool) ([]pgadmin.DeadLetter, error)
	// BlockedLanes lists blocked lanes of the destination and the aggregate of r, all where r names none, limit
	// at most. Only the first examine unsent events of its destination are looked at to count those that wait in
	// a lane.
	BlockedLanes(ctx context.Context, r *redrive.Request, limit, examine int) ([]pgadmin.BlockedLane, error)
	// DLQRedrives lists the latest runs over dead-letter queues, the latest first, limit at most.
	DLQRedrives(ctx context.Context, limit int) ([]pgadmin.DLQRedrive, error)
}

// examine is how many unsent events are looked at to count those that wait in blocked lanes.
const examine = 100_000

// list writes the first limit rows of a table as JSON or with the function text. read reads one row more, which tells
// whether there are more rows. A limit below 1 is a failure for wrong usage.
func list[T any](ctx context.Context, p *Program, g *globals, limit int, asJSON bool,
	text func(w io.Writer, style view.Style, rows []T, more bool, now time.Time) error,
	read func(ctx context.Context, l Lists) ([]T, error),
) error {
	if limit < 1 {
		return usagef("--limit: must be above 0, is %d", limit)
	}
	return p.with(ctx, g, 30*time.Second, func(ctx context.Context, db Database) error {
		rows, err := read(ctx, db.Lists)
		if err != nil {
			return err
		}
		shown := rows[:min(len(rows), limit)]
		if asJSON {
			return view.ListJSON(p.Out, shown) //nolint:wrapcheck // says what it did
		}
		return text(p.Out, p.style(), shown, len(rows) > limit, p.Now())
	})
}

func (p *Program) deadList(g *globals) *cobra.Command {
	var f requestFlags
	var limit int
	cmd := &cobra.Command{
		Use:  "list",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f.request.Source = redrive.SourceDeadLetters
			r, err := f.build()
			if err != nil {
				return err
			}
			return list(cmd.Context(), p, g, limit, f.asJSON, view.DeadLettersText, func(ctx context.Context, l Lists) ([]pgadmin.DeadLetter, error) {
				return l.DeadLetters(ctx, &r, 0, limit+1, false)
			})
		},
	}
	f.filters(cmd)
	cmd.Flags().IntVar(&limit, "limit", 100, "list this many at most")
	return cmd
}

func (p *Program) deadShow(g *globals) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:  "show <event-id>",
		Args: oneEventID,
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := parseID(args[0])
			if err != nil {
				return err
			}
			return p.with(cmd.Context(), g, 30*time.Second, func(ctx context.Context, db Database) error {
				list, err := db.Lists.DeadLetters(ctx, &redrive.Request{EventIDs: []uuid.UUID{id}}, 0, 100, true)
				switch {
				case err != nil:
					return err //nolint:wrapcheck // the store names the operation
				case len(list) == 0:
					return &failure{code: exitNo, err: fmt.Errorf("no dead letter %s: see outbox show %s", id, id)}
				case asJSON:
					return view.ListJSON(p.Out, list) //nolint:wrapcheck // says what it did
				}
				return view.DeadLettersDetail(p.Out, p.style(), list, p.Now()) //nolint:wrapcheck // says what it did
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	return cmd
}

func (p *Program) blockedList(g *globals) *cobra.Command {
	var r redrive.Request
	var limit int
	var asJSON bool
	cmd := &cobra.Command{
		Use:  "list",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return list(cmd.Context(), p, g, limit, asJSON, view.BlockedText, func(ctx context.Context, l Lists) ([]pgadmin.BlockedLane, error) {
				return l.BlockedLanes(ctx, &r, limit+1, examine)
			})
		},
	}
	cmd.Flags().StringVar(&r.Destination, "destination", "", "only aggregates at this destination")
	cmd.Flags().StringVar(&r.AggregateType, "aggregate-type", "", "only aggregates of this type")
	cmd.Flags().StringVar(&r.AggregateID, "aggregate-id", "", "only this aggregate")
	cmd.Flags().IntVar(&limit, "limit", 100, "list this many at most")
	cmd.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	return cmd
}

func (p *Program) blockedRelease(g *globals) *cobra.Command {
	var f requestFlags
	var all bool
	cmd := &cobra.Command{
		Use:  "release",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f.request.Source = redrive.SourceBlocked
			r, err := f.build()
			if err != nil {
				return err
			}
			if !all && !r.Filtered() {
				return usagef("--all: is needed to release all aggregates: name one, or add it")
			}
			return p.bringBack(cmd.Context(), g, &f, r)
		},
	}
	f.filters(cmd)
	f.run(cmd)
	cmd.Flags().BoolVar(&all, "all", false, "release all blocked aggregates")
	cmd.Flags().BoolVar(&f.request.Confirm, "confirm", false, "leave the dead letter, and go on without it")
	return cmd
}
