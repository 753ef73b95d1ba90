package nastiest_test

import (
	"context"
	"encoding/json"
	"iter"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/pgstore"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

// clockSink accepts every message, and notes when by its deduplication id.
type clockSink struct {
	mu sync.Mutex
	at map[string]time.Time
}

func (s *clockSink) Limits() outbox.Limits {
	return outbox.Limits{Entries: 10, BatchBytes: 1 << 20, MessageBytes: 1 << 20}
}

func (s *clockSink) Publish(_ context.Context, msgs []outbox.Message) []outbox.Result {
	out := make([]outbox.Result, len(msgs))
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, m := range msgs {
		s.at[m.DeduplicationID] = now
		out[i] = outbox.Result{Class: outbox.Accepted, MessageID: m.DeduplicationID}
	}
	return out
}

// One transaction copies a million events to one destination, while another destination gets an event every ten
// milliseconds. The log has how long those took from their commit: before, while the transaction was open, and after its
// commit.
func TestLargeTransactionBesideAnotherDestination(t *testing.T) {
	t.Parallel()
	onlyLong(t)
	pool := outboxtest.DB(t)
	orders, bulk := &clockSink{at: map[string]time.Time{}}, &clockSink{at: map[string]time.Time{}}
	r, err := relay.New(pgstore.New(pool), relay.Config{
		Destinations: map[string]relay.Destination{"orders": {Sink: orders}, "bulk": {Sink: bulk}},
		Logger:       slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if _, failed := r.Run(ctx, time.Now().Add(time.Hour)); failed != nil {
			t.Errorf("run: %v", failed)
		}
	}()
	probe := func(until <-chan struct{}) (sent map[string]time.Time) {
		sent = map[string]time.Time{}
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for n := 0; ; n++ {
			select {
			case <-until:
				return sent
			case <-tick.C:
			}
			e := outbox.Event{EventID: uuid.Must(uuid.NewV7()), AggregateType: "order", AggregateID: name("o", n%100), Type: "x", Destination: "orders", Payload: json.RawMessage(`{}`)}
			failed := pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
				_, refused := outbox.Enqueue(t.Context(), tx, e)
				return refused
			})
			if failed != nil {
				t.Error(failed)
				return sent
			}
			sent[e.EventID.String()] = time.Now()
		}
	}
	during := func(phase string, f func()) {
		over := make(chan struct{})
		go func() {
			defer close(over)
			f()
		}()
		sent := probe(over)
		<-time.After(2 * time.Second)
		var took []time.Duration
		missing := 0
		orders.mu.Lock()
		for id, at := range sent {
			if got, ok := orders.at[id]; ok {
				took = append(took, got.Sub(at))
			} else {
				missing++
			}
		}
		orders.mu.Unlock()
		slices.Sort(took)
		if len(took) == 0 || missing > 0 {
			t.Errorf("%s: %d events took more than two seconds, %d did not", phase, missing, len(took))
			return
		}
		t.Logf("%s: %d events, p50 %v, p99 %v, longest %v", phase, len(took), took[len(took)/2], took[len(took)*99/100], took[len(took)-1])
	}
	const rows = 1_000_000
	tx, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	during("calm", func() { <-time.After(5 * time.Second) })
	during("open", func() {
		var events iter.Seq[outbox.Event] = func(yield func(outbox.Event) bool) {
			for i := range rows {
				if !yield(outbox.Event{AggregateType: "bulk", AggregateID: name("b", i%10_000), Type: "x", Destination: "bulk", Payload: json.RawMessage(`{}`)}) {
					return
				}
			}
		}
		if _, failed := outbox.EnqueueCopy(t.Context(), tx, events); failed != nil {
			t.Error(failed)
		}
		<-time.After(3 * time.Second)
	})
	during("committed", func() {
		if failed := tx.Commit(t.Context()); failed != nil {
			t.Error(failed)
		}
		<-time.After(10 * time.Second)
	})
	cancel()
	<-done
}
