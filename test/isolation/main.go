//go:build unix

// Command isolation measures what a fault in one place costs elsewhere: the
// time from commit to acceptance of aggregates that have no part in it, in
// phases with the fault and in calm phases before and after each, of the same
// run of the compiled relay. It also measures hand-overs and what a kill -9
// costs. It exits with 1 when a bar is missed or when the checker finds
// anything wrong with the history.
//
//	go run ./test/isolation -rounds 5
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
	r, err := measure(ctx, cfg, os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Print("\n", r.text())
	if cfg.write != "" {
		if err := rig.WritePart(cfg.write, "isolation", r.text()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	if !r.ok() {
		return 1
	}
	return 0
}
