package boot

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/serverless-outbox/serverless-outbox/internal/host"
	"github.com/serverless-outbox/serverless-outbox/internal/pgadmin"
	"github.com/serverless-outbox/serverless-outbox/internal/redrive"
	"github.com/serverless-outbox/serverless-outbox/internal/redrive/dlq"
	"github.com/serverless-outbox/serverless-outbox/internal/redrive/replay"
	"github.com/serverless-outbox/serverless-outbox/internal/redrive/rows"
	"github.com/serverless-outbox/serverless-outbox/internal/redrive/sqsdlq"
)

const (
	// redriveMargin is the time kept before the redrive function's timeout: five seconds for a call that is under
	// way, five for the grace in which the engine shows hidden messages again, two for what follows, such as
	// the delete of what was sent, and two for the end of the record.
	redriveMargin = dlq.DefaultCallTimeout + dlq.DefaultGrace + 4*time.Second
	// reportEvery is the time between lines of progress in the log.
	reportEvery = 5 * time.Second
)

// Redrive is the configuration of the redrive function. Its Database may be unset: then the function
// redrives dead-letter queues only, and refuses every other request.
type Redrive struct {
	Process
	Database

	Queue string `env:"OUTBOX_REDRIVE_QUEUE"`
}

// HasDatabase reports whether a database is configured, by URL or by secret.
func (r *Redrive) HasDatabase() bool { return r.URL != "" || r.SecretARN != "" }

// Validate returns the faults of the variables of the database, where one is configured.
func (r *Redrive) Validate() []error {
	if !r.HasDatabase() {
		return nil
	}
	return r.Database.Validate()
}

// RedriveRuntime is what the redrive function opens once and uses in every invocation: its AWS clients, and a pool, which is nil until a request needs the database. It is a [host.Environment] and not safe for concurrent
// use.
type RedriveRuntime struct {
	connections

	cfg    *Redrive
	logger *slog.Logger
	finder sqsdlq.Finder
}

// RedriveEnvironment is the [host.Environment] of the redrive function: a [RedriveRuntime], except in tests.
type RedriveEnvironment = host.Environment[redrive.Request, redrive.Answer]

// RedriveHost answers the invocations of the redrive function.
type RedriveHost = host.Host[redrive.Request, redrive.Answer]

// Host returns the host that answers the invocations of the redrive function. It calls open where no environment
// is open: in the first invocation, and in the one after a failure.
func (r *Redrive) Host(logger *slog.Logger, open func(context.Context) (RedriveEnvironment, error)) *RedriveHost {
	return host.New(host.Config[redrive.Request, redrive.Answer]{
		Name: "redrive", Logger: logger, Margin: redriveMargin, Open: open,
		Parse: func(payload json.RawMessage) (redrive.Request, error) { return redrive.Parse(payload) },
		Attrs: func(a redrive.Answer) []slog.Attr {
			return []slog.Attr{
				slog.String("action", string(a.Action)),
				slog.String("source", string(a.Source)),
				slog.Bool("dry_run", a.DryRun),
				slog.Int("redriven", a.Redriven),
				slog.Int("matched", a.Matched),
				slog.Int("skipped", a.Skipped),
				slog.Int("unconfirmed", a.Unconfirmed),
				slog.Int("failed", a.Failed),
				slog.Int("groups_stopped", a.GroupsStopped),
				slog.Bool("more", a.More),
				slog.String("stopped", string(a.Stopped)),
				slog.String("problem", a.Problem),
				slog.Float64("seconds", a.Seconds),
			}
		},
	})
}

// Open makes the AWS clients. It connects to nothing yet: the first request
// that needs the database connects to it.
func (r *Redrive) Open(ctx context.Context, logger *slog.Logger) (*RedriveRuntime, error) {
	// Each receiver makes one call at a time. Showing hidden messages again makes up to twice as many.
	a, err := LoadAWS(ctx, 2*dlq.DefaultReceivers)
	if err != nil {
		return nil, err
	}
	finder := sqsdlq.Finder{SQS: sqs.NewFromConfig(a.Config), SNS: sns.NewFromConfig(a.Config), Messages: a.SQS("", "")}
	return &RedriveRuntime{connections: connections{aws: a}, cfg: r, logger: logger, finder: finder}, nil
}

// Run answers the request with the engine for its kind, and starts nothing after call.Until. A request for the
// database, where none is configured, is an error.
func (r *RedriveRuntime) Run(ctx context.Context, call host.Call[redrive.Request]) (redrive.Answer, error) {
	engines := redrive.Engines{
		DLQ: func(ctx context.Context, req redrive.Request, until time.Time) (redrive.Answer, error) {
			return r.runQueue(ctx, req, until, call.RequestID)
		},
		Rows: r.onDatabase(func(store *pgadmin.Store) (redrive.Engine, error) {
			return rows.New(store, rows.Config{RequestID: call.RequestID, Progress: r.redriving(ctx)})
		}),
		Replay: r.onDatabase(func(store *pgadmin.Store) (redrive.Engine, error) {
			return replay.New(store, replay.Config{RequestID: call.RequestID, Progress: r.replaying(ctx)})
		}),
	}
	return engines.Run(ctx, call.Request, call.Until)
}

// onDatabase returns a function that answers a request: it connects to the outbox, if no earlier request did, calls
// open to make an engine on the outbox, and runs that engine. Where no database is configured it fails with
// errNoDatabase.
func (r *RedriveRuntime) onDatabase(open func(*pgadmin.Store) (redrive.Engine, error)) func(context.Context, redrive.Request, time.Time) (redrive.Answer, error) {
	return func(ctx context.Context, req redrive.Request, until time.Time) (redrive.Answer, error) {
		store, err := r.store(ctx)
		if err != nil {
			return redrive.Answer{}, err
		}
		e, err := open(store)
		if err != nil {
			return redrive.Answer{}, err
		}
		return e.Run(ctx, req, until)
	}
}

var errNoQueue = errors.New("queue: is missing: name the dead-letter queue, or set OUTBOX_REDRIVE_QUEUE")

// runQueue redrives the dead-letter queue that the request names, or else the one of OUTBOX_REDRIVE_QUEUE.
// Without either it fails with errNoQueue. Where a database is configured, the run is recorded there under requestID:
// unless it is a dry run, it fails when the database cannot be reached.
func (r *RedriveRuntime) runQueue(ctx context.Context, req redrive.Request, until time.Time, requestID string) (redrive.Answer, error) {
	req.Queue = cmp.Or(req.Queue, r.cfg.Queue)
	if req.Queue == "" {
		return redrive.Answer{}, errNoQueue
	}
	cfg := dlq.Config{Logger: r.logger, RequestID: requestID}
	if r.cfg.HasDatabase() && !req.DryRun {
		store, err := r.store(ctx)
		if err != nil {
			return redrive.Answer{}, fmt.Errorf("record the run: %w", err)
		}
		cfg.Recorder = store
	}
	queues, err := sqsdlq.NewEngine(r.finder, cfg)
	if err != nil {
		return redrive.Answer{}, err
	}
	return queues.Run(ctx, req, until)
}

var errNoDatabase = errors.New("no database is configured, only dead-letter queues can be redriven: set OUTBOX_DATABASE_URL or OUTBOX_DATABASE_SECRET_ARN")

// store returns the outbox. The first call that succeeds connects to the database, checks its schema and sets
// r.pool. Where no database is configured, it fails with errNoDatabase.
func (r *RedriveRuntime) store(ctx context.Context) (*pgadmin.Store, error) {
	if !r.cfg.HasDatabase() {
		return nil, errNoDatabase
	}
	if r.pool == nil {
		pool, err := r.cfg.Connect(ctx, r.aws.Config)
		if err != nil {
			return nil, err
		}
		r.pool = pool
	}
	return pgadmin.New(r.pool), nil
}

// redriving returns a function that logs an answer as progress, at most once in reportEvery, and not before
// reportEvery has passed.
func (r *RedriveRuntime) redriving(ctx context.Context) func(redrive.Answer) {
	next := time.Now().Add(reportEvery)
	return func(a redrive.Answer) {
		if now := time.Now(); !now.Before(next) {
			next = now.Add(reportEvery)
			r.logger.LogAttrs(ctx, slog.LevelInfo, "redriving",
				slog.String("source", string(a.Source)),
				slog.Int("redriven", a.Redriven),
				slog.Int("unconfirmed", a.Unconfirmed),
				slog.Int("failed", a.Failed),
				slog.String("token", a.Token))
		}
	}
}

// replaying returns a function that logs the progress of a replay: its first call, because an operator whose
// answer was lost needs the token to go on, and then at most one call in reportEvery.
func (r *RedriveRuntime) replaying(ctx context.Context) func(redrive.Answer, replay.Progress) {
	var next time.Time
	return func(a redrive.Answer, p replay.Progress) {
		if now := time.Now(); !now.Before(next) {
			next = now.Add(reportEvery)
			r.logger.LogAttrs(ctx, slog.LevelInfo, "replaying",
				slog.Bool("searched", p.Searched),
				slog.Int("found", p.Found),
				slog.Int("copied", p.Copied),
				slog.Int("failed", p.Failed),
				slog.String("token", a.Token))
		}
	}
}
