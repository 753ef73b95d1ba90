// Package cli is the outbox command without its process: what it reads and
// writes is given to it.
package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/serverless-outbox/serverless-outbox/cmd/outbox/internal/view"
	"github.com/serverless-outbox/serverless-outbox/internal/janitor"
	"github.com/serverless-outbox/serverless-outbox/internal/pgadmin"
	"github.com/serverless-outbox/serverless-outbox/internal/redrive/replay"
	"github.com/serverless-outbox/serverless-outbox/internal/redrive/rows"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/pgstore"
)

// Outbox is what the commands that only look need of the outbox.
type Outbox interface {
	// Status reads the state of the outbox and counts at most limit events.
	Status(ctx context.Context, limit int) (pgadmin.Status, error)
	// Lookup finds an event, or returns pgadmin.ErrNotFound.
	Lookup(ctx context.Context, eventID uuid.UUID) (pgadmin.Location, error)
	// Check returns what makes the database unsafe to use.
	Check(ctx context.Context) error
}

// Database is an open database.
type Database struct {
	Outbox Outbox
	// Migrate brings the schema up to date and returns what it changed.
	Migrate func(ctx context.Context) (pgstore.Migrated, error)
	// Lists reads dead letters and blocked lanes. Redrive and Replay bring events
	// back.
	Lists   Lists
	Redrive rows.Store
	Replay  replay.Store
	// Janitor keeps the tables and reads the archive.
	Janitor janitor.Store
	Close   func()
}

// Program is the command. All fields are required.
type Program struct {
	Out, Err io.Writer
	Getenv   func(name string) string
	// Color lets Out have colours.
	Color bool
	Now   func() time.Time
	Open  func(ctx context.Context, url string) (Database, error)
	// Queue redrives dead-letter queues.
	Queue Queues
}

// The exit codes.
const (
	exitFailure = 1
	exitUsage   = 2
	exitNo      = 3
)

// globals are the flags of every command.
type globals struct {
	databaseURL string
	timeout     time.Duration
}

// Run executes the command line and returns the exit code of the process.
func (p *Program) Run(ctx context.Context, args []string) int {
	root := p.root() //nolint:contextcheck // the commands take theirs from cobra, which is given it below
	root.SetArgs(args)
	root.SetOut(p.Out)
	root.SetErr(p.Err)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return 0
	}
	code := exitUsage
	if f, ok := errors.AsType[*failure](err); ok {
		code, err = f.code, f.err
	}
	if err != nil {
		_, _ = fmt.Fprintf(p.Err, "%s: %v\n", cmd.CommandPath(), err)
	}
	if code == exitUsage {
		_, _ = fmt.Fprintf(p.Err, "Run %s --help for usage.\n", cmd.CommandPath())
	}
	return code
}

func (p *Program) root() *cobra.Command {
	var g globals
	root := &cobra.Command{
		Use:           "outbox",
		Short:         "Look after the transactional outbox",
		Long:          about,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	flags := root.PersistentFlags()
	flags.StringVar(&g.databaseURL, "database-url", "",
		"PostgreSQL URL (default $OUTBOX_DATABASE_URL, else $DATABASE_URL)")
	flags.DurationVar(&g.timeout, "timeout", 0, "give up after this long (default 30s, 10m for migrate, 15m for redrive and replay)")
	root.AddCommand(p.migrate(&g), p.status(&g), p.show(&g), p.dead(&g), p.blocked(&g), p.redrive(&g), p.replay(&g),
		p.janitor(&g), p.archive(&g), p.version())
	describe(root)
	return root
}

// limit returns --timeout, or the default of the command when it is not set.
func (g *globals) limit(byDefault time.Duration) (time.Duration, error) {
	if g.timeout < 0 {
		return 0, usagef("--timeout: must not be negative, is %v", g.timeout)
	}
	return cmp.Or(g.timeout, byDefault), nil
}

// with opens the database and runs f, both within --timeout or limit. Every error
// that it returns is a failure.
func (p *Program) with(ctx context.Context, g *globals, limit time.Duration, f func(ctx context.Context, db Database) error) error {
	limit, err := g.limit(limit)
	if err != nil {
		return err
	}
	url, err := p.databaseURL(g)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	db, err := p.Open(ctx, url)
	if err != nil {
		return failed(explain(err, limit))
	}
	defer db.Close()
	if err := f(ctx, db); err != nil {
		if _, ok := errors.AsType[*failure](err); ok {
			return err
		}
		return failed(explain(err, limit))
	}
	return nil
}

func (p *Program) style() view.Style { return view.Style{Color: p.Color} }
