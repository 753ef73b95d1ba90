package service

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"hash/maphash"
	"iter"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/history"
	"github.com/serverless-outbox/serverless-outbox/localstack/demo/source"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

//go:embed find_rows.sql
var findRowsSQL string

// Load describes how deliveries are written.
type Load struct {
	// Writers is how many transactions are open side by side at most. Required.
	Writers int
	// Batch is the most deliveries of one transaction. The most of each is drawn, from 1 to Batch. Required.
	Batch int
	// Rate is how many deliveries a second are written at first, and Steady the number of deliveries written at
	// that rate. The others follow as fast as the writers go: a burst. With a Steady of 0 all are a burst;
	// otherwise Rate is required.
	Rate   float64
	Steady int
	// RollBack is the share, from 0 to 1, of transactions that are rolled back, Late of those that stay open for up
	// to LateBy before they commit.
	RollBack, Late float64
	LateBy         time.Duration
	// InOrder keeps the deliveries of one aggregate in their order, by giving them to one writer, and makes the Manner
	// of every transaction ModelFirst. Otherwise the Manner is drawn.
	InOrder bool
	// Seed decides what is drawn: the size and Manner of transactions, and which are rolled back or late.
	Seed uint64
}

// Journal records every transaction. [history.Recorder] implements it. It must be safe for concurrent use.
type Journal interface {
	// Committed records events whose transaction committed.
	Committed(c history.Commit, events ...history.Event)
	// RolledBack records events whose transaction was rolled back.
	RolledBack(events ...history.Event)
	// InDoubt records events whose commit got no answer, so that they may be written or not.
	InDoubt(c history.Commit, events ...history.Event)
}

// Progress counts events as they are written: of transactions that committed, were rolled back, and stayed open (Late).
// It may be read at any time.
type Progress struct {
	Committed, RolledBack, Late atomic.Int64
	// Burst is set when the first delivery after the steady part comes.
	Burst atomic.Bool
}

// Run writes the deliveries as l says, records every transaction in rec and counts its events in p. It returns nil when
// all are written, and otherwise the first error or why ctx ended.
func (s *Service) Run(ctx context.Context, deliveries iter.Seq[source.Delivery], l Load, rec Journal, p *Progress) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	inputs := make([]chan source.Delivery, 1)
	if l.InOrder {
		inputs = make([]chan source.Delivery, l.Writers)
	}
	for i := range inputs {
		inputs[i] = make(chan source.Delivery, l.Batch)
	}
	var writers sync.WaitGroup
	for i := range l.Writers {
		w := writer{s: s, load: l, rec: rec, p: p, random: rand.New(rand.NewPCG(l.Seed, uint64(i)))}
		writers.Go(func() {
			if err := w.run(ctx, inputs[i%len(inputs)]); err != nil {
				cancel(err)
			}
		})
	}
	feed(ctx, deliveries, l, inputs, p)
	writers.Wait()
	return context.Cause(ctx)
}

// feed sends the deliveries to inputs, the first l.Steady of them at l.Rate a second, and then closes inputs. With
// InOrder all deliveries of an aggregate go to the same input, else all go to the first. It sets p.Burst, and stops
// when ctx ends.
func feed(ctx context.Context, deliveries iter.Seq[source.Delivery], l Load, inputs []chan source.Delivery, p *Progress) {
	defer func() {
		for _, c := range inputs {
			close(c)
		}
	}()
	seed := maphash.MakeSeed()
	start, n := time.Now(), 0
	for d := range deliveries {
		if n < l.Steady {
			if !waitUntil(ctx, start.Add(time.Duration(float64(n)/l.Rate*float64(time.Second)))) {
				return
			}
		} else {
			p.Burst.Store(true)
		}
		n++
		input := inputs[0]
		if l.InOrder {
			input = inputs[maphash.String(seed, d.AggregateID())%uint64(len(inputs))]
		}
		select {
		case input <- d:
		case <-ctx.Done():
			return
		}
	}
}

// waitUntil waits until the time at and returns true, or false when ctx ends before.
func waitUntil(ctx context.Context, at time.Time) bool {
	wait := time.Until(at)
	if wait <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// writer is one client of the service, which writes one transaction after another.
type writer struct {
	s      *Service
	load   Load
	rec    Journal
	p      *Progress
	random *rand.Rand
}

// run writes the deliveries of input until input is closed: each transaction has as many as wait there, up to a number
// that is drawn. It returns the first error.
func (w *writer) run(ctx context.Context, input <-chan source.Delivery) error {
	for first := range input {
		if err := w.write(ctx, gather(first, input, 1+w.random.IntN(w.load.Batch))); err != nil {
			return err
		}
	}
	return nil
}

// gather returns first and the deliveries that wait in input, without waiting for more: at most most in all.
func gather(first source.Delivery, input <-chan source.Delivery, most int) []source.Delivery {
	batch := []source.Delivery{first}
	for len(batch) < most {
		select {
		case d, ok := <-input:
			if !ok {
				return batch
			}
			batch = append(batch, d)
		default:
			return batch
		}
	}
	return batch
}

// write writes the batch in one transaction. It commits the transaction, at once or late, or rolls it back, as
// is drawn, and records and counts it.
func (w *writer) write(ctx context.Context, batch []source.Delivery) error {
	manner := Manner(w.random.IntN(3))
	if w.load.InOrder {
		manner = ModelFirst
	}
	rollBack, late := w.random.Float64() < w.load.RollBack, w.random.Float64() < w.load.Late
	hold := time.Duration(w.random.Int64N(int64(w.load.LateBy) + 1))

	tx, err := w.s.pool.Begin(ctx)
	if err != nil {
		return fmt.Errorf("write: %w", err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }() // After a commit it does nothing.
	events, err := w.s.Apply(ctx, tx, manner, batch)
	if err != nil {
		return fmt.Errorf("write: %w", err)
	}
	written, err := find(ctx, tx, events)
	if err != nil {
		return fmt.Errorf("write: %w", err)
	}
	if rollBack {
		w.rec.RolledBack(written...)
		w.p.RolledBack.Add(int64(len(events)))
		return nil
	}
	if late {
		w.p.Late.Add(int64(len(events)))
		if !waitUntil(ctx, time.Now().Add(hold)) {
			return context.Cause(ctx)
		}
	}
	commit := history.Commit{Began: time.Now()}
	err = tx.Commit(ctx)
	commit.Done = time.Now()
	if err != nil {
		w.record(commit, written, err)
		return fmt.Errorf("write: %w", err)
	}
	w.rec.Committed(commit, written...)
	w.p.Committed.Add(int64(len(events)))
	return nil
}

// record records the events of a commit that failed with err: as rolled back when the server refused the commit, and
// else as in doubt.
func (w *writer) record(commit history.Commit, written []history.Event, err error) {
	if refused := (*pgconn.PgError)(nil); errors.As(err, &refused) || errors.Is(err, pgx.ErrTxCommitRollback) {
		w.rec.RolledBack(written...)
		return
	}
	w.rec.InDoubt(commit, written...)
}

// find returns the events with the ids of their rows in the outbox, as the history records them. tx is the
// transaction that wrote them. It fails when an event has no row.
func find(ctx context.Context, tx pgx.Tx, events []outbox.Event) ([]history.Event, error) {
	found := make(map[uuid.UUID]history.Event, len(events))
	ids := make([]uuid.UUID, len(events))
	for i := range events {
		e := &events[i]
		ids[i] = e.EventID
		found[e.EventID] = history.Event{
			EventID: e.EventID, Lane: e.Lane(), Group: outbox.GroupID(e.AggregateType, e.AggregateID), Sum: history.Sum(e.Payload),
		}
	}
	rows, err := tx.Query(ctx, findRowsSQL, ids)
	if err != nil {
		return nil, fmt.Errorf("find rows: %w", err)
	}
	written := make([]history.Event, 0, len(events))
	var row int64
	var id uuid.UUID
	_, err = pgx.ForEachRow(rows, []any{&row, &id}, func() error {
		e := found[id]
		e.Row = row
		written = append(written, e)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("find rows: %w", err)
	}
	if len(written) != len(events) {
		return nil, fmt.Errorf("find rows: %d of %d are there", len(written), len(events))
	}
	return written, nil
}
