//go:build unix

// Command chaos runs the compiled relay function against a real PostgreSQL and
// the AWS fake, does harm to all of them by a plan that a seed decides, and lets
// a checker judge the history of each run. It exits with 0 only when every run
// delivered everything, in order, and sent nothing twice without a cause.
//
//	go run ./test/chaos -runs 100 -seed 1
//	go run ./test/chaos -runs 20 -faults kill,db_cut
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
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
	if len(results) > 0 {
		fmt.Print(summarise(results).text())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return exitCode(cfg, results)
}

// exitCode is 0 when all runs that were asked for took place and are OK.
func exitCode(cfg config, results []result) int {
	if len(results) != cfg.runs {
		return 1
	}
	for i := range results {
		if !results[i].ok() {
			return 1
		}
	}
	return 0
}
