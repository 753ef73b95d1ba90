package main

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	riverqueue "github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"

	"github.com/serverless-outbox/serverless-outbox/bench/load"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

// riverJob is an event as a job of River. River keeps arguments as jsonb, which would
// reorder the keys of a payload, so the payload is a string.
type riverJob struct {
	EventID string `json:"event_id"`
	Group   string `json:"group"`
	Payload string `json:"payload"`
}

func (riverJob) Kind() string { return "event" }

// river returns River as a peer called name, with a number of workers, each of which sends one message at a
// time.
func river(name string, workers int) peer {
	return peer{
		Peer: load.Peer{
			Name: name, Module: "github.com/riverqueue/river",
			Settings: fmt.Sprintf("%d workers, each sends one message; FetchCooldown and FetchPollInterval 1 ms; InsertManyFastTx", workers),
			Unsent:   "select count(*) from river_job where state <> 'completed'",
		},
		schema: func(ctx context.Context, pool *pgxpool.Pool) error {
			m, err := rivermigrate.New(riverpgxv5.New(pool), &rivermigrate.Config{Logger: riverLog()})
			if err != nil {
				return err
			}
			_, err = m.Migrate(ctx, rivermigrate.DirectionUp, nil)
			return err
		},
		write: func(ctx context.Context, tx pgx.Tx, events iter.Seq[outbox.Event]) error {
			client, err := riverqueue.NewClient(riverpgxv5.New(nil), &riverqueue.Config{Logger: riverLog()})
			if err != nil {
				return err
			}
			var jobs []riverqueue.InsertManyParams
			for e := range events {
				jobs = append(jobs, riverqueue.InsertManyParams{Args: riverJob{
					EventID: e.EventID.String(), Group: outbox.GroupID(e.AggregateType, e.AggregateID), Payload: string(e.Payload),
				}})
			}
			_, err = client.InsertManyFastTx(ctx, tx, jobs)
			return err
		},
		run: func(ctx context.Context, pool *pgxpool.Pool, out *sender, running func()) error {
			all := riverqueue.NewWorkers()
			riverqueue.AddWorker(all, riverqueue.WorkFunc(func(ctx context.Context, job *riverqueue.Job[riverJob]) error {
				return out.send(ctx, job.Args.EventID, job.Args.Group, job.Args.Payload)
			}))
			client, err := riverqueue.NewClient(riverpgxv5.New(pool), &riverqueue.Config{
				FetchCooldown: time.Millisecond, FetchPollInterval: time.Millisecond,
				Logger:          riverLog(),
				Queues:          map[string]riverqueue.QueueConfig{riverqueue.QueueDefault: {MaxWorkers: workers}},
				SoftStopTimeout: 5 * time.Second, // what is in flight is finished
				Workers:         all,
			})
			if err != nil {
				return err
			}
			if err = client.Start(ctx); err != nil {
				return err
			}
			running()
			<-client.Stopped()
			return nil
		},
	}
}

// riverLog returns a logger that writes River's warnings and errors to standard error, since the benchmark
// reads standard output.
func riverLog() *slog.Logger {
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
}
