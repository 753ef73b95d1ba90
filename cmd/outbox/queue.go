package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/serverless-outbox/serverless-outbox/internal/redrive"
	"github.com/serverless-outbox/serverless-outbox/internal/redrive/dlq"
	"github.com/serverless-outbox/serverless-outbox/internal/redrive/sqsdlq"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/awsclient"
)

// redriveQueue answers a request for a dead-letter queue, with the AWS credentials and the region of the environment.
// It logs its progress to standard error, and records the run under requestID unless recorder is nil.
func redriveQueue(ctx context.Context, r redrive.Request, until time.Time, recorder dlq.Recorder, requestID string) (redrive.Answer, error) {
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return redrive.Answer{}, fmt.Errorf("load AWS configuration: %w", err)
	}
	finder := sqsdlq.Finder{
		SQS: sqs.NewFromConfig(cfg),
		SNS: sns.NewFromConfig(cfg),
		// The engine repeats calls itself.
		Messages: sqs.NewFromConfig(cfg, func(o *sqs.Options) { o.Retryer = awsclient.Retryer() }),
	}
	engine, err := sqsdlq.NewEngine(finder, dlq.Config{
		Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)), Recorder: recorder, RequestID: requestID,
	})
	if err != nil {
		return redrive.Answer{}, err //nolint:wrapcheck // names the fields
	}
	return engine.Run(ctx, r, until) //nolint:wrapcheck // says what it looked for
}
