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
		Use:   "migrate",
		Short: "Create the schema outbox, or bring it up to date",
		Long: `Creates the schema outbox, or brings it up to date: it applies the numbered
migrations that are missing, and makes the functions anew whose text has changed.
It is safe to run again, and from many places at once: they take turns. A schema
that is newer than this command stays as it is.

Connect to the server itself: an advisory lock of the session does not work
through RDS Proxy or a pooler in transaction mode. The user must be able to
create schemas, or own the schema outbox. Where it may not create the roles
outbox_writer, outbox_relay, outbox_redrive and outbox_janitor, create them as an
administrator and run: select outbox.grant_roles()

With --print it writes the whole schema as plain SQL, in one transaction, and
needs no database. That is for a database that has no outbox yet.`,
		Example: `  outbox migrate --database-url postgres://admin@localhost:5432/app
  outbox migrate --print > migrations/0042_outbox.sql`,
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
	done, err := db.Migrate(ctx)
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
