//go:build unix

package failover

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/rig"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

// How the writers write: so many of them, to so many aggregates, up to batchMost events in a transaction, which locks
// its aggregates, and with pauses of writePause in the mean, or of slowPause.
const (
	writers    = 6
	aggregates = 24
	batchMost  = 3
	writePause = 15 * time.Millisecond
	slowPause  = 300 * time.Millisecond
)

//go:embed orders.sql
var ordersSQL string

//go:embed insert_orders.sql
var insertOrdersSQL string

//go:embed read_orders.sql
var readOrdersSQL string

// write lets the writers write until stop is closed. Each transaction writes one row of the business, in the table
// orders, for each event. They make long pauses while slow is set. A failure of the database is no error: a writer then
// waits until the database answers.
func write(ctx context.Context, w *rig.World, seed uint64, slow *atomic.Bool, stop <-chan struct{}) error {
	all, ctx := errgroup.WithContext(ctx)
	for n := range writers {
		random := rand.New(rand.NewPCG(seed, uint64(n))) //nolint:gosec // Repeatable on purpose.
		all.Go(func() error {
			for {
				mean := writePause
				if slow.Load() {
					mean = slowPause
				}
				if stopped, err := rig.PauseUnless(ctx, stop, time.Duration(random.ExpFloat64()*float64(mean))); stopped || err != nil {
					return err
				}
				events, err := newEvents(random)
				if err != nil {
					return err
				}
				if w.Put(ctx, events, func(tx pgx.Tx) error { return insertOrders(ctx, tx, events) }, nil) == nil {
					continue
				}
				if err := recovered(ctx, w); err != nil {
					return err
				}
			}
		})
	}
	return all.Wait()
}

// newEvents returns the events of one transaction, each of an aggregate and a destination drawn from random.
func newEvents(random *rand.Rand) ([]outbox.Event, error) {
	events := make([]outbox.Event, 1+random.IntN(batchMost))
	for i := range events {
		id, err := uuid.NewV7()
		if err != nil {
			return nil, fmt.Errorf("new event id: %w", err)
		}
		destination := outbox.DefaultDestination
		if random.IntN(2) == 0 {
			destination = rig.Audit
		}
		events[i] = outbox.Event{
			EventID: id, AggregateType: "order", AggregateID: strconv.Itoa(random.IntN(aggregates)),
			Type: "order.changed", Destination: destination, Payload: json.RawMessage(fmt.Sprintf(`{"n": %d}`, random.Uint32())),
		}
	}
	return events, nil
}

// insertOrders writes a row of the business for each event.
func insertOrders(ctx context.Context, tx pgx.Tx, events []outbox.Event) error {
	ids := make([]uuid.UUID, len(events))
	for i := range events {
		ids[i] = events[i].EventID
	}
	_, err := tx.Exec(ctx, insertOrdersSQL, ids)
	return err
}

// recovered waits until the database answers, and errs when ctx ends first.
func recovered(ctx context.Context, w *rig.World) error {
	for w.Pool.Ping(ctx) != nil {
		if err := rig.Pause(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// orders returns the events whose row of the business is there: those that the database has committed, whatever became
// of their rows in the outbox.
func orders(ctx context.Context, w *rig.World) (map[uuid.UUID]bool, error) {
	rows, err := w.Pool.Query(ctx, readOrdersSQL)
	if err != nil {
		return nil, fmt.Errorf("read the orders: %w", err)
	}
	found := map[uuid.UUID]bool{}
	var id uuid.UUID
	_, err = pgx.ForEachRow(rows, []any{&id}, func() error {
		found[id] = true
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the orders: %w", err)
	}
	return found, nil
}
