package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/pgstore"
)

func (p *Program) migrate(g *globals) *cobra.Command {
	var print bool
	cmd := &cobra.Command{
		Use:  "migrate",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if print {
				if err := pgstore.MigrationSQL(p.Out); err != nil {
					return failed(err)
				}
				return nil
			}
			return p.with(cmd.Context(), g, 10*time.Minute, p.runMigrate)
		},
	}
	cmd.Flags().BoolVar(&print, "print", false, "write the SQL to standard output instead of running it")
	return cmd
}

func (p *Program) runMigrate(ctx context.Context, db Database) error {
	applied, err := db.Migrate(ctx)
	for _, version := range applied {
		if writeErr := p.printf("applied migration %d\n", version); writeErr != nil {
			return writeErr
		}
	}
	if err != nil {
		return err
	}
	st, err := db.Outbox.Status(ctx, 1)
	if err != nil {
		return err //nolint:wrapcheck // the store names the operation
	}
	switch known := pgstore.Version(); {
	case st.SchemaVersion > known:
		return fmt.Errorf("the schema has version %d, newer than the %d that this program knows: upgrade the outbox command", st.SchemaVersion, known)
	case len(applied) == 0:
		return p.printf("nothing to do: the schema is at version %d\n", st.SchemaVersion)
	default:
		return p.printf("the schema is at version %d\n", st.SchemaVersion)
	}
}

func (p *Program) printf(format string, args ...any) error {
	if _, err := fmt.Fprintf(p.Out, format, args...); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}
