package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/serverless-outbox/serverless-outbox/cmd/outbox/internal/view"
	"github.com/serverless-outbox/serverless-outbox/internal/redrive"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/pgstore"
)

// Aside is what the outbox put aside.
type Aside interface {
	// DeadLetters lists dead letters behind the id after, limit at most.
	DeadLetters(ctx context.Context, r *redrive.Request, after int64, limit int, content bool) ([]pgstore.DeadLetter, error)
	// BlockedLanes lists lanes on hold, limit at most.
	BlockedLanes(ctx context.Context, r *redrive.Request, limit, examine int) ([]pgstore.BlockedLane, error)
}

// examine is how many pending events are looked at to count what waits.
const examine = 100_000

func (p *Program) dead(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dead",
		Short: "Look at events that the relay gave up",
		Long: `Looks at outbox.dead_letters: events that can never be published as they are.
outbox redrive --source dead_letters brings them back.`,
		Example: `  outbox dead list
  outbox dead show 0197a3b0-5c1e-7c4a-9f0e-3d2b1a000001`,
	}
	cmd.AddCommand(p.deadList(g), p.deadShow(g))
	return cmd
}

func (p *Program) deadList(g *globals) *cobra.Command {
	var f requestFlags
	var limit int
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List dead events, without their payloads",
		Long: `Lists dead events in the order of their ids. When there are more than --limit, the
last line says how to go on.

With --json it writes a list of objects: id, event_id, destination, aggregate_type,
aggregate_id, event_type, replays, created_at, dead_at, attempts, code, reason and
blocks (true when its aggregate is on hold for it).`,
		Example: `  outbox dead list --event-type order.placed
  outbox dead list --json | jq -r .[].event_id`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if limit < 1 {
				return usagef("--limit: must be above 0, is %d", limit)
			}
			f.request.Source = redrive.SourceDeadLetters
			r, err := f.build()
			if err != nil {
				return err
			}
			return p.with(cmd.Context(), g, 30*time.Second, func(ctx context.Context, db Database) error {
				list, err := db.Aside.DeadLetters(ctx, &r, 0, limit+1, false)
				switch {
				case err != nil:
					return err //nolint:wrapcheck // the store names the operation
				case f.asJSON:
					return view.ListJSON(p.Out, list[:min(len(list), limit)]) //nolint:wrapcheck // says what it did
				}
				return view.DeadText(p.Out, p.style(), list[:min(len(list), limit)], len(list) > limit, p.Now()) //nolint:wrapcheck // says what it did
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
		Use:   "show <event-id>",
		Short: "Show a dead event with its payload",
		Long: `Shows a dead event with its payload and headers, which may be personal data. When
there is no such dead event the exit code is 3; outbox show finds events wherever
they are.

With --json it writes the object of outbox dead list, with payload (the text as it
was written) and headers.`,
		Example: `  outbox dead show 0197a3b0-5c1e-7c4a-9f0e-3d2b1a000001`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return errors.New("name one event id")
			}
			_, err := parseID(args[0])
			return err
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := parseID(args[0])
			if err != nil {
				return err
			}
			return p.with(cmd.Context(), g, 30*time.Second, func(ctx context.Context, db Database) error {
				list, err := db.Aside.DeadLetters(ctx, &redrive.Request{EventIDs: []uuid.UUID{id}}, 0, 100, true)
				switch {
				case err != nil:
					return err //nolint:wrapcheck // the store names the operation
				case len(list) == 0:
					return &failure{code: exitNo, err: fmt.Errorf("no dead event %s: see outbox show %s", id, id)}
				case asJSON:
					return view.ListJSON(p.Out, list) //nolint:wrapcheck // says what it did
				}
				return view.DeadDetail(p.Out, p.style(), list, p.Now()) //nolint:wrapcheck // says what it did
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	return cmd
}

func (p *Program) blocked(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "blocked",
		Short: "Look at aggregates on hold, and release them",
		Long: `Looks at outbox.blocked: aggregates that are on hold behind a dead event at a
destination that keeps order at any price (on_reject block).`,
		Example: `  outbox blocked list
  outbox blocked release --aggregate-type order --aggregate-id 42`,
	}
	cmd.AddCommand(p.blockedList(g), p.blockedRelease(g))
	return cmd
}

func (p *Program) blockedList(g *globals) *cobra.Command {
	var r redrive.Request
	var limit int
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List aggregates on hold",
		Long: `Lists aggregates on hold, and those that were released and that no relay has resumed
yet, in the order in which they begin. What waits is counted among the first
100,000 pending events.

With --json it writes a list of objects: first_id, event_id, dead (false when the
event it is on hold for is no dead letter any more), destination, aggregate_type,
aggregate_id, blocked_at, released_at, reason and waiting.`,
		Example: `  outbox blocked list --destination orders`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if limit < 1 {
				return usagef("--limit: must be above 0, is %d", limit)
			}
			return p.with(cmd.Context(), g, 30*time.Second, func(ctx context.Context, db Database) error {
				list, err := db.Aside.BlockedLanes(ctx, &r, limit+1, examine)
				switch {
				case err != nil:
					return err //nolint:wrapcheck // the store names the operation
				case asJSON:
					return view.ListJSON(p.Out, list[:min(len(list), limit)]) //nolint:wrapcheck // says what it did
				}
				return view.BlockedText(p.Out, p.style(), list[:min(len(list), limit)], len(list) > limit, p.Now()) //nolint:wrapcheck // says what it did
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
		Use:   "release",
		Short: "Release aggregates: the dead event first, then what waits behind it",
		Long: `Takes aggregates off hold, as outbox redrive --source blocked does: the dead event
goes back first, then what waits behind it. With --confirm it stays dead, and its
aggregate goes on without it. Filters are about the dead event; without any,
--all is needed.

The exit codes and the answer are those of outbox redrive.`,
		Example: `  outbox blocked release --aggregate-type order --aggregate-id 42
  outbox blocked release --all --dry-run`,
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
	cmd.Flags().BoolVar(&all, "all", false, "release all aggregates on hold")
	cmd.Flags().BoolVar(&f.request.Confirm, "confirm", false, "leave the dead event dead, and go on without it")
	return cmd
}
