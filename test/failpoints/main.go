//go:build unix

// Command failpoints runs the compiled relay function against a real PostgreSQL
// and the AWS fake, once for each step of its work and each fault, does the
// fault at that step a few times, and lets a checker judge the history. It
// exits with 0 only when every step was reached and every run delivered
// everything, in order, and sent nothing twice without a cause.
//
//	go run ./test/failpoints -write docs/reliability.md
//	go run ./test/failpoints -steps sent,answered -faults kill
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/rig"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := command(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

// command returns the exit code.
func command(ctx context.Context, args []string) int {
	cfg, err := parseFlags(args, os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	results, err := campaign(ctx, cfg, os.Stdout)
	fmt.Print("\n", table(results))
	if err == nil && cfg.write != "" {
		err = rig.WritePart(cfg.write, "failpoints", table(results))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	for i := range results {
		if !results[i].ok() {
			return 1
		}
	}
	return 0
}
