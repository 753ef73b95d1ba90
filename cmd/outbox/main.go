// Command outbox looks after the transactional outbox in a PostgreSQL database:
// it migrates the schema, shows where events are, and brings them back.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/term"

	"github.com/serverless-outbox/serverless-outbox/cmd/outbox/internal/cli"
	"github.com/serverless-outbox/serverless-outbox/internal/pgadmin"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/pgstore"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	program := cli.Program{
		Out:    os.Stdout,
		Err:    os.Stderr,
		Getenv: os.Getenv,
		// https://no-color.org
		Color: os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && term.IsTerminal(int(os.Stdout.Fd())),
		Now:   time.Now,
		Open:  open,
		Queue: redriveQueue,
	}
	code := program.Run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

func open(ctx context.Context, url string) (cli.Database, error) {
	pool, err := pgstore.Connect(ctx, pgstore.Config{URL: url})
	if err != nil {
		return cli.Database{}, err //nolint:wrapcheck // says what it did
	}
	store := pgadmin.New(pool)
	return cli.Database{
		Outbox:  checked{Store: store, relays: pgstore.New(pool)},
		Lists:   store,
		Redrive: store,
		Replay:  store,
		Records: store,
		Janitor: store,
		Migrate: func(ctx context.Context, options ...pgstore.MigrateOption) (pgstore.Migrated, error) {
			return pgstore.Migrate(ctx, pool, options...)
		},
		Close: pool.Close,
	}, nil
}

// checked is the outbox that the commands status and show read.
type checked struct {
	*pgadmin.Store
	relays *pgstore.Store
}

// Check implements [cli.Outbox] with the check that a relay makes before it starts.
func (c checked) Check(ctx context.Context) error {
	return c.relays.Check(ctx) //nolint:wrapcheck // says what it did
}
