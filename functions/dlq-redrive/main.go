// Dlq-redrive is the Lambda function that brings events back: messages of dead-letter queues, dead letters and blocked
// lanes of the outbox, and sent events that are to be sent again. An operator invokes it with a JSON request.
package main

import (
	"context"
	"log/slog"
	"os"

	"github.com/serverless-outbox/serverless-outbox/internal/boot"
)

func main() {
	ctx := context.Background()
	cfg, err := boot.FromEnv[boot.Redrive]()
	cfg.TuneMemory()
	logger := cfg.Logger(os.Stdout)
	slog.SetDefault(logger)
	h := cfg.Host(logger, func(ctx context.Context) (boot.RedriveEnvironment, error) {
		if err != nil {
			return nil, err
		}
		return cfg.Open(ctx, logger)
	})
	h.Start(ctx)
}
