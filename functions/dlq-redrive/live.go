package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/serverless-outbox/serverless-outbox/internal/boot"
	"github.com/serverless-outbox/serverless-outbox/internal/pgadmin"
	"github.com/serverless-outbox/serverless-outbox/internal/redrive"
	"github.com/serverless-outbox/serverless-outbox/internal/redrive/replay"
	"github.com/serverless-outbox/serverless-outbox/internal/redrive/rows"
)

// live is the environment of a deployed function.
type live struct {
	*boot.RedriveRuntime
	logger *slog.Logger
}

func open(ctx context.Context, cfg *boot.Redrive, logger *slog.Logger) (environment, error) {
	runtime, err := cfg.Open(ctx, logger)
	if err != nil {
		return nil, err
	}
	return live{runtime, logger}, nil
}

// Run implements environment.
func (l live) Run(ctx context.Context, requestID string, req redrive.Request, until time.Time) (redrive.Answer, error) {
	l.Thaw()
	engines := redrive.Engines{
		DLQ: l.Queues,
		Rows: l.onDatabase(func(store *pgadmin.Store) (redrive.Engine, error) {
			return rows.New(store, rows.Config{RequestID: requestID, Progress: l.redriving(ctx)})
		}),
		Replay: l.onDatabase(func(store *pgadmin.Store) (redrive.Engine, error) {
			return replay.New(store, replay.Config{RequestID: requestID, Progress: l.replaying(ctx)})
		}),
	}
	return engines.Run(ctx, req, until)
}

// onDatabase returns a function that connects to the outbox and runs the engine
// that open makes on it.
func (l live) onDatabase(open func(*pgadmin.Store) (redrive.Engine, error)) func(context.Context, redrive.Request, time.Time) (redrive.Answer, error) {
	return func(ctx context.Context, req redrive.Request, until time.Time) (redrive.Answer, error) {
		store, err := l.Store(ctx)
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

// reportEvery is the time between lines of progress.
const reportEvery = 5 * time.Second

// redriving logs the progress, not more often than every reportEvery.
func (l live) redriving(ctx context.Context) func(redrive.Answer) {
	next := time.Now().Add(reportEvery)
	return func(a redrive.Answer) {
		if now := time.Now(); !now.Before(next) {
			next = now.Add(reportEvery)
			l.logger.LogAttrs(ctx, slog.LevelInfo, "redriving",
				slog.String("source", string(a.Source)),
				slog.Int("redriven", a.Redriven),
				slog.Int("unconfirmed", a.Unconfirmed),
				slog.Int("failed", a.Failed),
				slog.String("token", a.Token))
		}
	}
}

// replaying logs the first progress too: its token goes on with a replay whose
// answer never arrived.
func (l live) replaying(ctx context.Context) func(redrive.Answer, replay.Progress) {
	var next time.Time
	return func(a redrive.Answer, p replay.Progress) {
		if now := time.Now(); !now.Before(next) {
			next = now.Add(reportEvery)
			l.logger.LogAttrs(ctx, slog.LevelInfo, "replaying",
				slog.Bool("searched", p.Searched),
				slog.Int("found", p.Found),
				slog.Int("copied", p.Copied),
				slog.Int("failed", p.Failed),
				slog.String("token", a.Token))
		}
	}
}
