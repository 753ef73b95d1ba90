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
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
