package relay_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/memory"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

// world is a store, a broker per destination, and the relays run on them, in
// virtual time.
type world struct {
	*testing.T
	store   *memory.Store
	brokers map[string]*memory.Broker
	cfg     relay.Config
	wg      sync.WaitGroup

	mu        sync.Mutex
	summaries map[string]relay.Summary
	reports   []relay.Report
}

// inWorld runs f in a bubble of virtual time and then checks that no relay is
// left behind: the bubble ends only when every goroutine has.
func inWorld(t *testing.T, f func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{
			T:         t,
			store:     memory.NewStore(),
			brokers:   map[string]*memory.Broker{outbox.DefaultDestination: {Delay: 5 * time.Millisecond}},
			summaries: map[string]relay.Summary{},
			cfg:       relay.Config{Logger: slog.New(slog.DiscardHandler)},
		}
		f(w)
		w.wg.Wait()
	})
}

// broker returns the broker of the default destination.
func (w *world) broker() *memory.Broker { return w.brokers[outbox.DefaultDestination] }

// Observe implements relay.Observer.
func (w *world) Observe(r *relay.Report) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reports = append(w.reports, *r)
}

// config returns the configuration of the next relay.
func (w *world) config(name string) relay.Config {
	cfg := w.cfg
	cfg.Name = name
	cfg.Destinations = map[string]relay.Destination{}
	for name, b := range w.brokers {
		d := w.cfg.Destinations[name]
		if d.Sink == nil {
			d.Sink = b
		}
		cfg.Destinations[name] = d
	}
	cfg.Observer = w
	return cfg
}

// start runs a relay for a time, on its own view of the store.
func (w *world) start(ctx context.Context, name string, d time.Duration) {
	w.startOn(ctx, w.store, name, d)
}

func (w *world) startOn(ctx context.Context, store relay.Store, name string, d time.Duration) {
	w.Helper()
	r, err := relay.New(store, w.config(name))
	if err != nil {
		w.Fatal(err)
	}
	w.wg.Go(func() {
		sum, err := r.Run(ctx, time.Now().Add(d))
		if err != nil {
			w.Errorf("relay %s: %v", name, err)
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		w.summaries[name] = sum
	})
}

// summary waits for a relay to end.
func (w *world) summary(name string) relay.Summary {
	w.wg.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.summaries[name]
}

func event(aggregate string, n int) outbox.Event {
	return outbox.Event{
		EventID: uuid.Must(uuid.NewV7()), AggregateType: "t", AggregateID: aggregate, Type: "e",
		Payload: json.RawMessage(fmt.Sprintf(`{"n":%d}`, n)),
	}
}

// groups returns the bodies that a broker accepted first, by group, in order.
func groups(b *memory.Broker) map[string][]string {
	out := map[string][]string{}
	for _, a := range b.Log() {
		if !a.Suppressed {
			out[a.Message.GroupID] = append(out[a.Message.GroupID], a.Message.Body)
		}
	}
	return out
}

// inOrder fails unless the broker accepted 0..n-1 of each aggregate, in order
// and once.
func (w *world) inOrder(b *memory.Broker, n int, aggregates ...string) {
	w.Helper()
	got := groups(b)
	for _, a := range aggregates {
		var want []string
		for i := range n {
			want = append(want, fmt.Sprintf(`{"n":%d}`, i))
		}
		bodies := got[groupOf(w.T, a)]
		if !slices.Equal(bodies, want) {
			w.Errorf("aggregate %s: accepted %v, want %v", a, bodies, want)
		}
	}
}

func groupOf(t *testing.T, aggregate string) string {
	t.Helper()
	m, err := outbox.Encode(&outbox.Record{Event: event(aggregate, 0), ID: 1, CreatedAt: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	return m.GroupID
}

func (w *world) nothingPending() {
	w.Helper()
	if n := w.store.Pending(); n != 0 {
		w.Errorf("%d events are still pending", n)
	}
}

// owners returns the number of shards that each relay owns, by relay id, without relays that own none.
func (w *world) owners() map[uuid.UUID]int {
	owners := map[uuid.UUID]int{}
	for shard := range outbox.Shards {
		if owner, _ := w.store.Owner(shard); owner != uuid.Nil {
			owners[owner]++
		}
	}
	return owners
}

// pass lets virtual time pass.
func pass(d time.Duration) { <-time.After(d) }

// after runs f once d has passed.
func (w *world) after(d time.Duration, f func()) {
	w.wg.Go(func() {
		pass(d)
		f()
	})
}
