// Command demo shows the outbox at work on this machine, with Go alone: real
// documents are written to PostgreSQL by a small service, the compiled relay
// function carries them to SNS FIFO and SQS FIFO, consumers receive them, and a
// checker judges the whole history. It exits with 0 only when the checker
// agrees that nothing was lost, reordered, made up or sent twice without cause.
//
//	go run ./localstack/demo          # webhook documents, the AWS fake
//	go run ./localstack/demo -kill    # with the relay killed at work
//	go run ./localstack/demo -source git:. -emulator localstack
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/process"
)

func main() { process.Main(command) }

// command runs the demo and returns the exit code: 0 when the checker found no fault, or for -help, 1 when it did or
// the demo failed, 2 for wrong arguments.
func command(ctx context.Context, args []string) int {
	cfg, err := parseFlags(args, os.Getenv, os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	// With -json only the report goes to standard output.
	out := os.Stdout
	if cfg.json {
		out = os.Stderr
	}
	r, err := run(ctx, cfg, out)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if cfg.json {
		if err = r.writeJSON(os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	} else {
		fmt.Print(r.text())
	}
	if !r.OK {
		return 1
	}
	return 0
}
