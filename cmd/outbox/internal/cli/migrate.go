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
	var prefix string
	cmd := &cobra.Command{
		Use:  "migrate",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if print {
				return failed(pgstore.MigrationSQL(p.Out, pgstore.RolePrefix(prefix)))
			}
			return p.with(cmd.Context(), g, 10*time.Minute, func(ctx context.Context, db Database) error {
				return p.runMigrate(ctx, db, prefix)
			})
		},
	}
	cmd.Flags().BoolVar(&print, "print", false, "write the SQL to standard output instead of running it")
	cmd.Flags().StringVar(&prefix, "role-prefix", "", "first part of the names of the four roles, kept in the database (outbox in a new one)")
	return cmd
}

func (p *Program) runMigrate(ctx context.Context, db Database, prefix string) error {
	done, err := db.Migrate(ctx, pgstore.RolePrefix(prefix))
	for _, version := range done.Versions {
		if writeErr := p.printf("applied migration %d\n", version); writeErr != nil {
			return writeErr
		}
	}
	if err != nil {
		return err
	}
	// A first migration makes every function there is.
	if len(done.Versions) == 0 || done.Versions[0] > 1 {
		for _, name := range done.Functions {
			if err := p.printf("made the function outbox.%s\n", name); err != nil {
				return err
			}
		}
	}
	for _, name := range done.Dropped {
		if err := p.printf("dropped the function outbox.%s\n", name); err != nil {
			return err
		}
	}
	if len(done.Versions)+len(done.Functions)+len(done.Dropped) == 0 {
		return p.printf("nothing to do: the schema is at version %d\n", pgstore.Version())
	}
	return p.printf("the schema is at version %d\n", pgstore.Version())
}

func (p *Program) printf(format string, args ...any) error {
	if _, err := fmt.Fprintf(p.Out, format, args...); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}
