// Janitor is the Lambda function that keeps the tables of the outbox small. EventBridge Scheduler invokes it every few
// minutes. Two at once do no harm.
package main

import (
	"context"
	"log/slog"
	"os"

	"github.com/serverless-outbox/serverless-outbox/internal/boot"
)

func main() {
	ctx := context.Background()
	cfg, err := boot.FromEnv[boot.Janitor]()
	cfg.TuneMemory()
	logger := cfg.Logger(os.Stdout)
	slog.SetDefault(logger)
	h := cfg.Host(logger, func(ctx context.Context) (boot.JanitorEnvironment, error) {
		if err != nil {
			return nil, err
		}
		return cfg.Open(ctx, logger, os.Stdout)
	})
	h.Start(ctx)
}
