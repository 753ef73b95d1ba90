package boot

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/serverless-outbox/serverless-outbox/internal/pgadmin"
	"github.com/serverless-outbox/serverless-outbox/internal/redrive"
	"github.com/serverless-outbox/serverless-outbox/internal/redrive/dlq"
	"github.com/serverless-outbox/serverless-outbox/internal/redrive/sqsdlq"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/pgstore"
)

// Redrive is the configuration of the redrive function. The database is needed
// only for what is in it: without one, dead-letter queues are redriven.
type Redrive struct {
	Process
	Database

	Queue      string        `env:"OUTBOX_REDRIVE_QUEUE" help:"The dead-letter queue of requests that name none: URL, ARN or name"`
	Margin     time.Duration `env:"OUTBOX_REDRIVE_MARGIN" envDefault:"12s" help:"Kept before the function's timeout for ending calls and letting go of messages. At least 11s"`
	Receivers  int           `env:"OUTBOX_REDRIVE_RECEIVERS" envDefault:"4" help:"How many receive from a dead-letter queue and send at the same time"`
	Visibility time.Duration `env:"OUTBOX_REDRIVE_VISIBILITY" envDefault:"60s" help:"How long received messages are hidden, and renewed while they are in work. The messages of a killed run stay hidden for that long"`
}

// minRedriveMargin is one call and the grace of the engine, and a second.
const minRedriveMargin = 11 * time.Second

// HasDatabase reports whether a database is configured.
func (r *Redrive) HasDatabase() bool { return r.URL != "" || r.SecretARN != "" }

// Validate returns the faults that the type of a variable does not show.
func (r *Redrive) Validate() []error {
	var faults []error
	if r.HasDatabase() {
		faults = r.Database.Validate()
	}
	if r.Margin < minRedriveMargin {
		faults = append(faults, fmt.Errorf("OUTBOX_REDRIVE_MARGIN: %v is less than %v", r.Margin, minRedriveMargin))
	}
	if r.Receivers < 1 {
		faults = append(faults, fmt.Errorf("OUTBOX_REDRIVE_RECEIVERS: %d is not above 0", r.Receivers))
	}
	if r.Visibility < 30*time.Second || r.Visibility > time.Hour {
		faults = append(faults, fmt.Errorf("OUTBOX_REDRIVE_VISIBILITY: %v is not between 30s and 1h", r.Visibility))
	}
	return faults
}

// RedriveRuntime is what the redrive function makes once and uses in every
// invocation. It is not safe for concurrent use.
type RedriveRuntime struct {
	cfg    *Redrive
	aws    *AWS
	queues *sqsdlq.Engine
	pool   *pgxpool.Pool
}

// Open makes the clients. It connects to nothing yet.
func (r *Redrive) Open(ctx context.Context, logger *slog.Logger) (*RedriveRuntime, error) {
	// Each receiver makes a call at a time, and letting go makes twice as many.
	a, err := LoadAWS(ctx, 2*r.Receivers)
	if err != nil {
		return nil, err
	}
	finder := sqsdlq.Finder{SQS: sqs.NewFromConfig(a.Config), SNS: sns.NewFromConfig(a.Config), Messages: a.SQS("", true)}
	queues, err := sqsdlq.NewEngine(finder, dlq.Config{Receivers: r.Receivers, Visibility: r.Visibility, Logger: logger})
	if err != nil {
		return nil, err
	}
	return &RedriveRuntime{cfg: r, aws: a, queues: queues}, nil
}

var errNoQueue = errors.New("queue: is missing: name the dead-letter queue, or set OUTBOX_REDRIVE_QUEUE")

// Queues redrives a dead-letter queue.
func (r *RedriveRuntime) Queues(ctx context.Context, req redrive.Request, until time.Time) (redrive.Answer, error) {
	if req.Queue == "" {
		req.Queue = r.cfg.Queue
	}
	if req.Queue == "" {
		return redrive.Answer{}, errNoQueue
	}
	return r.queues.Run(ctx, req, until)
}

var errNoDatabase = errors.New("no database is configured, only dead-letter queues can be redriven: set OUTBOX_DATABASE_URL or OUTBOX_DATABASE_SECRET_ARN")

// Store connects to the outbox, the first time that it is needed.
func (r *RedriveRuntime) Store(ctx context.Context) (*pgadmin.Store, error) {
	if !r.cfg.HasDatabase() {
		return nil, errNoDatabase
	}
	if r.pool == nil {
		pool, err := r.cfg.Connect(ctx, r.aws.Config)
		if err != nil {
			return nil, err
		}
		if err = pgstore.New(pool).Check(ctx); err != nil {
			pool.Close()
			return nil, fmt.Errorf("database: %w", err)
		}
		r.pool = pool
	}
	return pgadmin.New(r.pool), nil
}

// Thaw makes ready for use after the environment may have been frozen.
func (r *RedriveRuntime) Thaw() { r.aws.HTTP.CloseIdleConnections() }

// Close gives everything back.
func (r *RedriveRuntime) Close() {
	if r.pool != nil {
		r.pool.Close()
	}
	r.aws.HTTP.CloseIdleConnections()
}
