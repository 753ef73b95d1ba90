//go:build unix

package rig

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/history"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

//go:embed find_rows.sql
var findRowsSQL string

// How World.Write writes: with so many writers, to so many aggregates, up to batchMost
// events in a transaction. The other numbers without a unit are probabilities.
const (
	writers    = 4
	aggregates = 16
	batchMost  = 4
	// unlocked is how likely a transaction does not lock its aggregates, so that rows of one
	// aggregate can commit in another order than that of their ids.
	unlocked = 0.2
	// rollBack is how likely a transaction is rolled back.
	rollBack = 0.05
	// late is how likely a transaction stays open, for up to lateBy, before it ends.
	late   = 0.05
	lateBy = 400 * time.Millisecond
	// writePause is the mean time between two transactions of a writer.
	writePause = 40 * time.Millisecond
)

// writer writes transactions one after the other. After a failure of the database it waits until the database
// answers, and goes on with the next transaction.
type writer struct {
	pool    *pgxpool.Pool
	journal *Journal
	random  *rand.Rand
}

// Write lets several writers write until stop is closed, and records each transaction in
// the world's Journal. The seed decides how many events they write, for which aggregates
// and destinations, and their pauses; event ids are new each time. Failures of the
// database are no error; the end of ctx is one.
func (w *World) Write(ctx context.Context, seed uint64, stop <-chan struct{}) error {
	all, ctx := errgroup.WithContext(ctx)
	for n := range writers {
		one := writer{pool: w.Pool, journal: w.Journal, random: rand.New(rand.NewPCG(seed, 100+uint64(n)))} //nolint:gosec // Repeatable on purpose.
		all.Go(func() error { return one.run(ctx, stop) })
	}
	if err := all.Wait(); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}

// run writes until stop is closed, with pauses of writePause in the mean, and then returns nil. It returns an error
// when ctx ends first.
func (w *writer) run(ctx context.Context, stop <-chan struct{}) error {
	for {
		pause := time.Duration(w.random.ExpFloat64() * float64(writePause))
		if stopped, err := PauseUnless(ctx, stop, pause); stopped || err != nil {
			return err
		}
		if err := w.write(ctx); err != nil {
			return err
		}
	}
}

// events returns the events of one transaction.
func (w *writer) events() ([]outbox.Event, error) {
	events := make([]outbox.Event, 1+w.random.IntN(batchMost))
	for i := range events {
		id, err := uuid.NewV7()
		if err != nil {
			return nil, fmt.Errorf("new event id: %w", err)
		}
		destination := outbox.DefaultDestination
		if w.random.IntN(2) == 0 {
			destination = Audit
		}
		payload := fmt.Sprintf(`{"n": %d, "padding": %q}`, w.random.Uint32(), strings.Repeat("x", w.random.IntN(600)))
		events[i] = outbox.Event{
			EventID: id, AggregateType: "order", AggregateID: strconv.Itoa(w.random.IntN(aggregates)),
			Type: "order.changed", Destination: destination, Payload: json.RawMessage(payload),
		}
	}
	return events, nil
}

// Put writes events in one transaction, which waits for open ones of the same aggregates,
// and records it in the Journal, as in doubt when its commit fails. also, when not nil, writes
// more in the transaction after the events. before, when not nil, is called right before the
// commit, with the time and the rows of the events.
func (w *World) Put(
	ctx context.Context, events []outbox.Event, also func(tx pgx.Tx) error, before func(began time.Time, rows []history.Event),
) error {
	tx, err := w.Pool.Begin(ctx)
	if err != nil {
		return fmt.Errorf("put: %w", err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }() // After a commit this does nothing.
	if _, err = (outbox.Enqueuer{LockAggregates: true}).Enqueue(ctx, tx, events...); err != nil {
		return fmt.Errorf("put: %w", err)
	}
	rows, err := find(ctx, tx, events)
	if err != nil {
		return fmt.Errorf("put: %w", err)
	}
	if also != nil {
		if err = also(tx); err != nil {
			return fmt.Errorf("put: %w", err)
		}
	}
	commit := history.Commit{Began: time.Now()}
	w.Journal.wrote(commit.Began, rows)
	if before != nil {
		before(commit.Began, rows)
	}
	if err = tx.Commit(ctx); err != nil {
		w.Journal.InDoubt(commit, rows...)
		return fmt.Errorf("put: %w", err)
	}
	commit.Done = time.Now()
	w.Journal.Committed(commit, rows...)
	return nil
}

// write makes one transaction and records how it ended. One that fails before its commit
// wrote nothing and is not recorded; one whose commit fails is in doubt, unless PostgreSQL
// says that it rolled back. A failure of the database is no error: write then waits until
// the database answers. It errs when ctx ends.
func (w *writer) write(ctx context.Context) error {
	events, err := w.events()
	if err != nil {
		return err
	}
	enqueuer := outbox.Enqueuer{LockAggregates: w.random.Float64() >= unlocked}
	rolledBack, isLate := w.random.Float64() < rollBack, w.random.Float64() < late
	hold := time.Duration(w.random.Int64N(int64(lateBy)))
	tx, err := w.pool.Begin(ctx)
	if err != nil {
		return w.recover(ctx)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }() // After a commit it does nothing.
	if _, err = enqueuer.Enqueue(ctx, tx, events...); err != nil {
		return w.recover(ctx)
	}
	rows, err := find(ctx, tx, events)
	if err != nil {
		return w.recover(ctx)
	}
	if isLate {
		if err = Pause(ctx, hold); err != nil {
			return err
		}
	}
	commit := history.Commit{Began: time.Now()}
	w.journal.wrote(commit.Began, rows)
	if rolledBack {
		w.journal.RolledBack(rows...)
		return nil
	}
	err = tx.Commit(ctx)
	commit.Done = time.Now()
	switch {
	case err == nil:
		w.journal.Committed(commit, rows...)
		return nil
	case errors.Is(err, pgx.ErrTxCommitRollback):
		w.journal.RolledBack(rows...)
		return nil
	}
	// Whether it was committed can be read once the database works again.
	err = w.recover(ctx)
	commit.Done = time.Now()
	w.journal.InDoubt(commit, rows...)
	return err
}

// recover waits until the database answers a ping, which it tries every 20 ms, or errs when ctx ends.
func (w *writer) recover(ctx context.Context) error {
	for {
		if w.pool.Ping(ctx) == nil {
			return nil
		}
		if err := Pause(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
}

// find reads the rows of the events in the transaction that inserted them, and returns them as the history records
// them, in no particular order.
func find(ctx context.Context, tx pgx.Tx, events []outbox.Event) ([]history.Event, error) {
	byID := make(map[uuid.UUID]*outbox.Event, len(events))
	ids := make([]uuid.UUID, len(events))
	for i := range events {
		ids[i] = events[i].EventID
		byID[ids[i]] = &events[i]
	}
	rows, err := tx.Query(ctx, findRowsSQL, ids)
	if err != nil {
		return nil, fmt.Errorf("find rows: %w", err)
	}
	found := make([]history.Event, 0, len(events))
	var row int64
	var id uuid.UUID
	_, err = pgx.ForEachRow(rows, []any{&row, &id}, func() error {
		e := byID[id]
		found = append(found, history.Event{
			EventID: id, Row: row, Sum: history.Sum(e.Payload),
			Lane:  outbox.Lane{Destination: e.Destination, AggregateType: e.AggregateType, AggregateID: e.AggregateID},
			Group: outbox.GroupID(e.AggregateType, e.AggregateID),
		})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("find rows: %w", err)
	}
	return found, nil
}
