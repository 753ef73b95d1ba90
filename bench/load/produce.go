package load

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

// Plan is what a producer writes, and how fast: first Fill events, then a load of Rate.
type Plan struct {
	Config

	// URL is the address of the database.
	URL string `json:"url"`
	// Fill is how many events, from number 0, are written as fast as possible.
	Fill int64 `json:"fill,omitempty"`
	// Rate is how many events a second are written then, for Duration, in transactions of PerTx events on
	// Connections connections. A Rate of 0 is no load; otherwise the three others are required.
	Rate        int           `json:"rate,omitempty"`
	Duration    time.Duration `json:"duration,omitempty"`
	PerTx       int           `json:"per_tx,omitempty"`
	Connections int           `json:"connections,omitempty"`
	// Path is the file to which Produce writes the commits, for ReadRecords: those of Fill in their order, then
	// those of each connection of the load. An existing file is replaced.
	Path string `json:"path"`
}

// Commit is a transaction that was committed, with the events First to First+Count-1. Its times are nanoseconds
// of the wall clock since 1970.
type Commit struct {
	First, Count int64
	// Due is when the schedule of the load had the transaction begin. For an event of Fill, which has no
	// schedule, it equals Began.
	Due int64
	// Opened is when the transaction had been opened.
	Opened int64
	// Began is when the commit was asked for, Done when it was answered.
	Began, Done int64
}

// Writer writes events within a transaction, in the given order.
type Writer func(ctx context.Context, tx pgx.Tx, events iter.Seq[outbox.Event]) error

// Writers is the write side of an outbox. Fill writes the events of Plan.Fill, 10,000 in a transaction, Live
// those of the load, Plan.PerTx in a transaction.
type Writers struct{ Fill, Live Writer }

// Outbox returns the write side of this project's outbox.
func Outbox() Writers {
	return Writers{
		Fill: func(ctx context.Context, tx pgx.Tx, events iter.Seq[outbox.Event]) error {
			_, err := outbox.EnqueueCopy(ctx, tx, events)
			return err
		},
		Live: func(ctx context.Context, tx pgx.Tx, events iter.Seq[outbox.Event]) error {
			_, err := outbox.Enqueue(ctx, tx, slices.Collect(events)...)
			return err
		},
	}
}

// Produce writes the events of the plan with w, and then the commits to Plan.Path, also after an error. An error in
// the backlog ends the writing; one in the load ends it on its connection, and the others go on. A wrong URL ends
// Produce before it writes the file.
func Produce(ctx context.Context, p Plan, w Writers) error {
	config, err := pgxpool.ParseConfig(p.URL)
	if err != nil {
		return err
	}
	config.MaxConns = int32(max(p.Connections, 1)) //nolint:gosec // a small number
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return err
	}
	defer pool.Close()
	events := New(p.Config)
	commits, err := fill(ctx, pool, events, p.Fill, w.Fill)
	if err == nil && p.Rate > 0 {
		var live []Commit
		live, err = drive(ctx, pool, events, p, w.Live)
		commits = append(commits, live...)
	}
	return errors.Join(err, WriteRecords(p.Path, commits))
}

// fillTx is how many events each transaction of Plan.Fill has; the last may have fewer.
const fillTx = 10_000

// fill writes the events 0 to total-1, and returns the commits; with an error, those before it.
func fill(ctx context.Context, pool *pgxpool.Pool, events *Events, total int64, w Writer) ([]Commit, error) {
	var commits []Commit
	for first := int64(0); first < total; first += fillTx {
		c := Commit{First: first, Count: min(fillTx, total-first)}
		if err := commit(ctx, pool, events.Range(c.First, c.Count), &c, w); err != nil {
			return commits, fmt.Errorf("fill: %w", err)
		}
		c.Due = c.Began
		commits = append(commits, c)
	}
	return commits, nil
}

// drive writes events at Plan.Rate for Plan.Duration, and returns the commits. Each connection has a schedule
// of its own, which does not move when the connection is late: lateness shows as the time from Commit.Due to
// Commit.Began. A connection stops at its first error; the others go on.
func drive(ctx context.Context, pool *pgxpool.Pool, events *Events, p Plan, w Writer) ([]Commit, error) {
	gap := time.Duration(float64(time.Second) * float64(p.PerTx) / float64(p.Rate))
	start := time.Now().Add(50 * time.Millisecond)
	transactions := int64(p.Duration / gap)
	all := make([][]Commit, p.Connections)
	faults := make([]error, p.Connections)
	var workers sync.WaitGroup
	for n := range p.Connections {
		workers.Go(func() {
			for k := int64(n); k < transactions; k += int64(p.Connections) {
				due := start.Add(time.Duration(k) * gap)
				if err := waitUntil(ctx, due); err != nil {
					faults[n] = err
					return
				}
				c := Commit{First: p.Fill + k*int64(p.PerTx), Count: int64(p.PerTx), Due: due.UnixNano()}
				if faults[n] = commit(ctx, pool, events.Range(c.First, c.Count), &c, w); faults[n] != nil {
					return
				}
				all[n] = append(all[n], c)
			}
		})
	}
	workers.Wait()
	return slices.Concat(all...), errors.Join(faults...)
}

// commit writes the events in one transaction and sets the times of c except Due.
func commit(ctx context.Context, pool *pgxpool.Pool, events iter.Seq[outbox.Event], c *Commit, w Writer) error {
	tx, err := pool.Begin(ctx)
	if err != nil {
		return err
	}
	defer tx.Rollback(ctx) //nolint:errcheck // of no effect behind the commit
	c.Opened = time.Now().UnixNano()
	if err = w(ctx, tx, events); err != nil {
		return err
	}
	c.Began = time.Now().UnixNano()
	err = tx.Commit(ctx)
	c.Done = time.Now().UnixNano()
	return err
}

func waitUntil(ctx context.Context, at time.Time) error {
	wait := time.Until(at)
	if wait <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// WriteRecords writes records, structs with fields of fixed sizes only, to a file at path that ReadRecords reads.
// An existing file is replaced.
func WriteRecords[T any](path string, records []T) error {
	b, err := binary.Append(nil, binary.LittleEndian, records)
	if err != nil {
		return err
	}
	return os.WriteFile(path, b, 0o600)
}

// ReadRecords returns the records in a file of WriteRecords with the same T, in the order in which they were written.
func ReadRecords[T any](path string) ([]T, error) {
	b, err := os.ReadFile(path) //nolint:gosec // a path of the benchmark
	if err != nil {
		return nil, err
	}
	records := make([]T, len(b)/binary.Size(*new(T)))
	_, err = binary.Decode(b, binary.LittleEndian, records)
	return records, err
}
