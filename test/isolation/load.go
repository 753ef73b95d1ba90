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
	// brokenRate is how many events a second the aggregate broken writes, one in a transaction; hotBatch is how
	// many the aggregate hot writes in a transaction.
	brokenRate = 20
	hotBatch   = 20
)

// The ids of the two aggregates that faults concern. All others are quiet.
const (
	broken = "broken"
	hot    = "hot"
)

// load writes events of quiet aggregates at a steady rate, half of them to each of the two destinations, and those of
// the two other aggregates while brokenOn and hotOn are set. world is nil until the run has begun.
type load struct {
	cfg   config
	world *rig.World
	meter *meter
	// brokenOn and hotOn are set while events of the aggregates with the ids broken and hot are written too.
	brokenOn, hotOn atomic.Bool
}

// run writes events to w until stop is closed, and returns nil then. It returns the first error of a write.
func (l *load) run(ctx context.Context, w *rig.World, stop <-chan struct{}) error {
	all, ctx := errgroup.WithContext(ctx)
	quiet := 2 * l.cfg.rate // at two destinations
	for n := range writers {
		random := rand.New(rand.NewPCG(uint64(n), 1)) //nolint:gosec // Repeatable on purpose.
		all.Go(func() error {
			return every(ctx, stop, time.Second*writers*quietBatch/time.Duration(quiet), func() error {
				events := make([]outbox.Event, quietBatch)
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
	some := func(on *atomic.Bool, aggregate string, rate, batch int) {
		all.Go(func() error {
			return every(ctx, stop, time.Second*time.Duration(batch)/time.Duration(rate), func() error {
				if !on.Load() {
					return nil
				}
				events := make([]outbox.Event, batch)
				for i := range events {
					events[i] = event(aggregate, outbox.DefaultDestination)
				}
				return w.Put(ctx, events, nil, nil)
			})
		})
	}
	some(&l.brokenOn, broken, brokenRate, 1)
	some(&l.hotOn, hot, l.cfg.hotRate, hotBatch)
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
