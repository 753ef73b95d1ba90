// Dlq-redrive is the Lambda function that brings events back: messages of
// dead-letter queues, dead letters and blocked aggregates of the outbox, and events
// that are to be sent again. It is invoked by hand, with a JSON request.
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
	cfg, err := boot.FromEnv[boot.Redrive]()
	cfg.TuneMemory()
	logger := cfg.Logger(os.Stdout)
	slog.SetDefault(logger)
	h := newHandler(logger, cfg.Margin, func(ctx context.Context) (environment, error) {
		if err != nil {
			return nil, err
		}
		return open(ctx, &cfg, logger)
	})
	lambda.StartWithOptions(h.Handle, lambda.WithContext(ctx), lambda.WithEnableSIGTERM(h.close))
}
