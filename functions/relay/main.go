//go:build !failpoint && !profile

// Relay is the Lambda function that carries events from the outbox to their
// destinations. EventBridge Scheduler invokes it every minute; it runs until
// shortly before its timeout, and the next one takes over.
package main

import (
	"context"
	"log/slog"
	"os"

	"github.com/aws/aws-lambda-go/lambda"

	"github.com/serverless-outbox/serverless-outbox/internal/boot"
)

func main() {
	ctx := context.Background()
	cfg, err := boot.FromEnv[boot.Relay]()
	cfg.TuneMemory()
	logger := cfg.Logger(os.Stdout)
	slog.SetDefault(logger)
	h := newHandler(logger, cfg.Margin, func(ctx context.Context) (environment, error) {
		if err != nil {
			return nil, err
		}
		return open(ctx, &cfg, logger, os.Stdout)
	})
	// During Lambda's init phase, whose CPU is not throttled. What fails here is
	// tried again by the first invocation: a crash would only repeat the init.
	h.prepare(ctx)
	lambda.StartWithOptions(h.Handle, lambda.WithContext(ctx), lambda.WithEnableSIGTERM(h.close))
}
