// Command awsfake serves the fake of SNS and SQS on a local address until it
// is interrupted.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest/awsfake"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "awsfake:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("awsfake", flag.ContinueOnError)
	addr := flags.String("addr", "127.0.0.1:4566", "`address` to listen on; port 0 picks a free one")
	region := flags.String("region", "us-east-1", "`region` that ARNs name")
	window := flags.Duration("dedup-window", 5*time.Minute, "how long a deduplication id is remembered")
	history := flags.String("history", "full", "what is remembered of accepted messages: full, hashes or counts")
	discard := flags.Bool("discard", false, "keep no message for consumers, for benchmarks of producers")
	if err := flags.Parse(args); err != nil {
		return fmt.Errorf("flags: %w", err)
	}
	modes := map[string]awsfake.HistoryMode{
		"full": awsfake.HistoryFull, "hashes": awsfake.HistoryHashes, "counts": awsfake.HistoryCounts,
	}
	mode, ok := modes[*history]
	if !ok {
		return fmt.Errorf("flags: -history=%s is none of full, hashes, counts", *history)
	}
	server := awsfake.New(awsfake.Config{Region: *region, DeduplicationWindow: *window, History: mode, Discard: *discard})
	if err := server.Start(*addr); err != nil {
		return err
	}
	fmt.Println(server.URL())
	<-ctx.Done()
	return server.Close()
}
