// Relay is the Lambda function that carries events from the outbox to their destinations. EventBridge Scheduler invokes
// it every minute; it runs until shortly before its timeout, and the next one takes over.
package main

import (
	"context"
	"log/slog"
	"os"

	"github.com/serverless-outbox/serverless-outbox/internal/boot"
)

func main() {
	ctx := context.Background()
	cfg, err := boot.FromEnv[boot.Relay]()
	cfg.TuneMemory()
	logger := cfg.Logger(os.Stdout)
	slog.SetDefault(logger)
	h := cfg.Host(logger, func(ctx context.Context) (boot.RelayEnvironment, error) {
		if err != nil {
			return nil, err
		}
		return cfg.Open(ctx, logger, os.Stdout)
	})
	h.Prepare(ctx)
	h.Start(ctx)
}
