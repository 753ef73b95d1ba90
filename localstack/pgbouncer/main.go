//go:build unix

// Command pgbouncer runs a PgBouncer in transaction mode in front of the server
// in DATABASE_URL, for as long as it runs. Without arguments it prints its URL
// and waits for an interrupt; otherwise it runs the arguments as a command with
// OUTBOX_TEST_POOLER_URL set and exits with its code.
//
//	go run ./localstack/postgres -- go run ./localstack/pgbouncer -- go test ./pkg/outbox/pgstore
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/pgbouncer"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/process"
)

func main() { process.Main(run) }

// run starts PgBouncer, runs the command or waits for an interrupt, and returns the exit code: that of the command when
// there is one, 1 when PgBouncer fails, 2 for wrong flags, -h or no DATABASE_URL, 0 when -optional skips the command.
func run(ctx context.Context, args []string) int {
	flags := flag.NewFlagSet("pgbouncer", flag.ContinueOnError)
	optional := flags.Bool("optional", false, "where there is no PgBouncer, say SKIPPED and succeed without running the command (refused with CI=true)")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	server := os.Getenv("DATABASE_URL")
	if server == "" {
		fmt.Fprintln(os.Stderr, "DATABASE_URL: is not set")
		return 2
	}
	bouncer, err := pgbouncer.Start(ctx, server)
	if errors.Is(err, pgbouncer.ErrNotFound) && *optional && !process.InCI() {
		fmt.Fprintf(os.Stderr, "SKIPPED: the suites behind PgBouncer; run them with `make test-pgbouncer` after this: %v\n", err)
		return 0
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return process.Serve(ctx, bouncer, "OUTBOX_TEST_POOLER_URL", flags.Args())
}
