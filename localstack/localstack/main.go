// Command localstack runs LocalStack without Docker: for the length of a command,
// or until it is interrupted.
//
//	go run ./localstack/localstack                       # serve at 127.0.0.1:4566
//	go run ./localstack/localstack -- go test ./...      # run a command with it
//
// The command finds the endpoint in OUTBOX_TEST_LOCALSTACK_URL and
// AWS_ENDPOINT_URL.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}
