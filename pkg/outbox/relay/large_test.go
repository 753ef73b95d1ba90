package relay_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/memory"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

// gapReads counts the ids of the gaps that are read through it.
type gapReads struct {
	relay.Store
	ids atomic.Int64
}

func (s *gapReads) Fetch(ctx context.Context, f relay.Fetch) (relay.Fetched, error) {
	for _, g := range f.Gaps {
		s.ids.Add(g.To - g.From + 1)
	}
	return s.Store.Fetch(ctx, f) //nolint:wrapcheck // the answer as it is
}

// largeTransaction opens a transaction that writes n events to the destination "bulk", and lets small ones commit among them.
func largeTransaction(w *world, n int) *memory.Tx {
	w.brokers["bulk"] = &memory.Broker{Delay: 5 * time.Millisecond}
	tx := w.store.Begin()
	for i := range n {
		e := event(fmt.Sprint("b", i%100), i/100)
		e.Destination = "bulk"
		tx.Enqueue(e)
		if i%100 == 0 {
			w.store.Enqueue(event("small", i/100))
		}
	}
	return tx
}

func TestGapsOfALargeTransactionAreReadWhenAWriterEnds(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		const rows = 6_000
		tx := largeTransaction(w, rows)
		count := &gapReads{Store: w.store}
		w.startOn(w.Context(), count, "r", 10*time.Second)
		pass(time.Second)
		before := count.ids.Load()
		for n := range 100 {
			w.store.Enqueue(event("small", rows/100+n))
			pass(10 * time.Millisecond)
		}
		if read := count.ids.Load() - before; read > rows/10 {
			w.Errorf("%d ids of gaps were read in a second, in which no writer of the %d uncommitted rows ended", read, rows)
		}
		pass(100 * time.Millisecond)
		w.inOrder(w.broker(), rows/100+100, "small")
		tx.Commit()
		w.summary("r")
		w.inOrder(w.brokers["bulk"], rows/100, "b0", "b99")
		w.nothingPending()
	})
}

// Each read of new events takes a while, so that reading all late rows before the next new one would take seconds.
func TestLargeTransactionThatCommitsHoldsUpNoOtherDestination(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		const rows = 6_000
		w.cfg.FetchLimit = 100
		var slow atomic.Bool
		w.store.Before = func(_ context.Context, step string) error {
			if step == "fetch.scan" && slow.Load() {
				pass(5 * time.Millisecond)
			}
			return nil
		}
		tx := largeTransaction(w, rows)
		w.start(w.Context(), "r", time.Minute)
		pass(time.Second)
		slow.Store(true)
		tx.Commit()
		pass(20 * time.Millisecond)
		w.store.Enqueue(event("late", 0))
		pass(100 * time.Millisecond)
		w.inOrder(w.broker(), 1, "late")
		slow.Store(false)
		w.summary("r")
		w.inOrder(w.brokers["bulk"], rows/100, "b0", "b99")
		w.nothingPending()
	})
}
