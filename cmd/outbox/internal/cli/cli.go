// Package cli has the commands of the program outbox. A [Program] is given its streams, its environment, its clock and
// its database, so that tests can run it without a process.
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
	"github.com/serverless-outbox/serverless-outbox/internal/redrive/dlq"
	"github.com/serverless-outbox/serverless-outbox/internal/redrive/replay"
	"github.com/serverless-outbox/serverless-outbox/internal/redrive/rows"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/pgstore"
)

// Outbox is what the commands status and show need of the outbox. Its methods change nothing.
type Outbox interface {
	// Status reads the state of the outbox. It counts at most limit unsent events.
	Status(ctx context.Context, limit int) (pgadmin.Status, error)
	// Lookup finds an event in any table of the outbox, or returns pgadmin.ErrNotFound, wrapped.
	Lookup(ctx context.Context, eventID uuid.UUID) (pgadmin.Location, error)
	// Check returns why a relay must not work with the database (pgstore.ErrSchema, ErrSettings or ErrReadOnly,
	// wrapped), nil when one may, and any other error when that could not be found out.
	Check(ctx context.Context) error
}

// Database is an open database, with what each kind of command needs of it. Close must be called in the end.
type Database struct {
	Outbox Outbox
	// Migrate brings the schema up to date and returns what it changed.
	Migrate func(ctx context.Context, options ...pgstore.MigrateOption) (pgstore.Migrated, error)
	// Lists reads dead letters and blocked lanes. Redrive and Replay are the stores of the engines that bring events
	// back.
	Lists   Lists
	Redrive rows.Store
	Replay  replay.Store
	// Records takes the records of runs over dead-letter queues.
	Records dlq.Recorder
	// Janitor is the store of the janitor, which also reads the archive.
	Janitor janitor.Store
	Close   func()
}

// Program is the program outbox. All fields but Color are required. Out and Err are its standard output and
// standard error.
type Program struct {
	Out, Err io.Writer
	Getenv   func(name string) string
	// Color is true when text for Out may have escape codes for colours.
	Color bool
	Now   func() time.Time
	Open  func(ctx context.Context, url string) (Database, error)
	// Queue answers requests for dead-letter queues of SQS.
	Queue Queues
}

// The exit codes, as in the text about.
const (
	exitFailure = 1
	exitUsage   = 2
	exitNo      = 3
)

// globals has the values of the flags that every command has, zero for one that is not set.
type globals struct {
	databaseURL string
	timeout     time.Duration
}

// Run executes the command that args name, writes its errors to Err, and returns the exit code for the process: 0
// for success, 1 for a failure, 2 for wrong usage, 3 for an answer of no, such as an event that is not there.
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
	root.AddCommand(p.migrate(&g), p.status(&g), p.show(&g), p.redrive(&g), p.replay(&g), p.version(),
		group("dead", p.deadList(&g), p.deadShow(&g)),
		group("blocked", p.blockedList(&g), p.blockedRelease(&g)),
		group("janitor", p.janitorRun(&g)),
		group("archive", p.archiveList(&g), p.archiveExport(&g)))
	describe(root)
	return root
}

// group returns a command that only has further commands, such as dead of "dead list".
func group(name string, commands ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: name}
	cmd.AddCommand(commands...)
	return cmd
}

// limit returns --timeout, or byDefault when that flag is not set or zero. A negative --timeout is a failure for
// wrong usage.
func (g *globals) limit(byDefault time.Duration) (time.Duration, error) {
	if g.timeout < 0 {
		return 0, usagef("--timeout: must not be negative, is %v", g.timeout)
	}
	return cmp.Or(g.timeout, byDefault), nil
}

// with opens the database, runs f on it and closes it. Opening and f together may take --timeout, or limit when
// that flag is not set. Every error of with is a [*failure]: that of f where f returns one, else one with exit
// code 1, or 2 for a wrong flag.
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
