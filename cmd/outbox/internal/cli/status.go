package cli

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/serverless-outbox/serverless-outbox/cmd/outbox/internal/view"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/pgstore"
)

func (p *Program) status(g *globals) *cobra.Command {
	var (
		asJSON, check bool
		limit         int
		limits        view.Limits
	)
	cmd := &cobra.Command{
		Use:  "status",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if limit < 1 {
				return usagef("--limit: must be above 0, is %d", limit)
			}
			for _, name := range []string{"max-age", "max-dead-letters", "max-blocked", "max-pending"} {
				if !check && cmd.Flags().Changed(name) {
					return usagef("--%s: is for --check: add --check", name)
				}
			}
			if check && limits.Pending >= limit {
				return usagef("--max-pending: must be below --limit (%d), is %d: raise --limit", limit, limits.Pending)
			}
			return p.with(cmd.Context(), g, 30*time.Second, func(ctx context.Context, db Database) error {
				st, err := readStatus(ctx, db.Outbox, limit)
				if err != nil {
					return err
				}
				ok := !check || st.Check(limits)
				if asJSON {
					err = view.JSON(p.Out, &st)
				} else {
					err = st.Text(p.Out, p.style())
				}
				if err == nil && !ok {
					err = &failure{code: exitNo}
				}
				return err
			})
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&asJSON, "json", false, "write one JSON object")
	flags.IntVar(&limit, "limit", 100_000, "look at this many pending events at most")
	flags.BoolVar(&check, "check", false, "exit with 3 when a limit is exceeded")
	flags.DurationVar(&limits.Age, "max-age", 5*time.Minute, "with --check: the oldest pending event")
	flags.IntVar(&limits.DeadLetters, "max-dead-letters", 0, "with --check: dead letters")
	flags.IntVar(&limits.Blocked, "max-blocked", 0, "with --check: blocked aggregates")
	flags.IntVar(&limits.Pending, "max-pending", -1, "with --check: pending events")
	return cmd
}

// readStatus reads the status, counting limit unsent events at most, and checks the database. A schema or a
// setting with which a relay must not work becomes one of the problems of the status. A database that is
// read-only is no problem, since the command only reads.
func readStatus(ctx context.Context, o Outbox, limit int) (view.Status, error) {
	raw, err := o.Status(ctx, limit)
	if err != nil {
		return view.Status{}, err //nolint:wrapcheck // the store names the operation
	}
	st := view.NewStatus(&raw)
	switch err := o.Check(ctx); {
	case err == nil, errors.Is(err, pgstore.ErrReadOnly): // status only reads
	case errors.Is(err, pgstore.ErrSchema), errors.Is(err, pgstore.ErrSettings):
		st.Warn("database", err.Error())
	default:
		return view.Status{}, err //nolint:wrapcheck // the store names the operation
	}
	return st, nil
}
