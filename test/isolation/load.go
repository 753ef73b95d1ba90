//go:build unix

package isolation

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/rig"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

const (
	// writers is the number of goroutines that write events of quiet aggregates, quietBatch the number of
	// events in each of their transactions.
	writers    = 4
	quietBatch = 4
	// brokenRate is how many events a second the broken aggregates write together, one in a transaction; hotBatch is
	// how many the aggregate hot writes in a transaction.
	brokenRate = 20
	hotBatch   = 20
)

// hot is the id of the aggregate that writes at a high rate.
const hot = "hot"

// brokenID returns the id of broken aggregate n, from 0. All other aggregates but hot are quiet.
func brokenID(n int) string { return "broken" + strconv.Itoa(n) }

// load writes events of quiet aggregates at a steady rate, and those of the other aggregates while broken and hotOn are
// set. world is nil until the run has begun.
type load struct {
	cfg   config
	world *rig.World
	meter *meter
	// low says that the quiet aggregates write cfg.lowRate events a second to the watched destination, one in a
	// transaction, instead of cfg.rate to each of the two destinations.
	low bool
	// broken is how many broken aggregates write now. hotOn is set while the aggregate with the id hot writes.
	broken atomic.Int32
	hotOn  atomic.Bool
}

// run writes events to w until stop is closed, and returns nil then. It returns the first error of a write.
func (l *load) run(ctx context.Context, w *rig.World, stop <-chan struct{}) error {
	all, ctx := errgroup.WithContext(ctx)
	rate, batch := 2*l.cfg.rate, quietBatch // at two destinations
	if l.low {
		rate, batch = l.cfg.lowRate, 1
	}
	for n := range writers {
		random := rand.New(rand.NewPCG(uint64(n), 1)) //nolint:gosec // Repeatable on purpose.
		all.Go(func() error {
			return every(ctx, stop, time.Second*time.Duration(writers*batch)/time.Duration(rate), func() error {
				events := make([]outbox.Event, batch)
				for i := range events {
					destination := outbox.DefaultDestination
					if i%2 == 1 {
						destination = rig.Audit
					}
					events[i] = event(strconv.Itoa(random.IntN(l.cfg.quiet)), destination)
				}
				return w.Put(ctx, events, nil, l.meter.quiet)
			})
		})
	}
	turn := 0
	all.Go(func() error {
		return every(ctx, stop, time.Second/brokenRate, func() error {
			n := int(l.broken.Load())
			if n == 0 {
				return nil
			}
			turn++
			return w.Put(ctx, []outbox.Event{event(brokenID(turn%n), outbox.DefaultDestination)}, nil, nil)
		})
	})
	all.Go(func() error {
		return every(ctx, stop, time.Second*hotBatch/time.Duration(l.cfg.hotRate), func() error {
			if !l.hotOn.Load() {
				return nil
			}
			events := make([]outbox.Event, hotBatch)
			for i := range events {
				events[i] = event(hot, outbox.DefaultDestination)
			}
			return w.Put(ctx, events, nil, nil)
		})
	})
	return all.Wait()
}

// every calls f at once and then each time d has passed, until stop is closed, when it returns nil, or f fails or ctx
// ends, when it returns that error or the cause. A late call does not move the next ones: those that are due follow it
// without a pause.
func every(ctx context.Context, stop <-chan struct{}, d time.Duration, f func() error) error {
	for due := time.Now(); ; due = due.Add(d) {
		if stopped, err := rig.PauseUnless(ctx, stop, time.Until(due)); stopped || err != nil {
			return err
		}
		if err := f(); err != nil {
			return err
		}
	}
}

// event returns a new event of an aggregate for a destination.
func event(aggregate, destination string) outbox.Event {
	return outbox.Event{
		EventID: uuid.Must(uuid.NewV7()), AggregateType: "order", AggregateID: aggregate, Type: "order.changed", Destination: destination,
		Payload: json.RawMessage(fmt.Sprintf(`{"n":%d}`, rand.Uint32())), //nolint:gosec // No secret.
	}
}
