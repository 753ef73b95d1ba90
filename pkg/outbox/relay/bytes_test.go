package relay_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

// large is the size of the payload of a largeEvent, in bytes.
const large = 10_000

// largeEvent returns an event of the aggregate with a large payload.
func largeEvent(aggregate string) outbox.Event {
	e := event(aggregate, 0)
	e.Payload = json.RawMessage(`"` + strings.Repeat("x", large-2) + `"`)
	return e
}

// mostBuffered returns the most bytes that a report so far has seen buffered.
func (w *world) mostBuffered() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	most := 0
	for i := range w.reports {
		most = max(most, w.reports[i].BufferedBytes)
	}
	return most
}

// fetches is a store that knows the most bytes of payload that one fetch brought.
type fetches struct {
	relay.Store

	mu   sync.Mutex
	most int
}

func (f *fetches) Fetch(ctx context.Context, ask relay.Fetch) (relay.Fetched, error) {
	got, err := f.Store.Fetch(ctx, ask)
	bytes := 0
	for _, rows := range got.Scans {
		for _, row := range rows {
			if row.Record != nil {
				bytes += len(row.Record.Payload)
			}
		}
	}
	pages := [][]outbox.Record{got.Sweep.Records, got.Gaps.Records}
	for _, b := range append(got.Destinations, got.Lanes...) {
		pages = append(pages, b.Records)
	}
	for _, page := range pages {
		for i := range page {
			bytes += len(page[i].Payload)
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.most = max(f.most, bytes)
	return got, err
}

// Fetches and window stay within their bounds when large events follow on many small ones, by which a row was taken to
// be small.
func TestLargeEventsBehindSmallOnesStayWithinTheWindow(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		const window, fetch = 100_000, 25_000
		w.cfg.WindowBytes, w.cfg.FetchBytes, w.cfg.ReportEvery = window, fetch, time.Millisecond
		for i := range 2_000 {
			w.store.Enqueue(event(fmt.Sprint("small", i), 0))
		}
		for i := range 100 {
			w.store.Enqueue(largeEvent(fmt.Sprint("large", i)))
		}
		store := &fetches{Store: w.store}
		w.startOn(w.Context(), store, "r", 20*time.Second)
		w.summary("r")
		w.nothingPending()
		if most := w.mostBuffered(); most > window+large+1_000 || store.most > fetch || store.most < large {
			w.Errorf("%d bytes buffered, in a window of %d, and %d bytes fetched at once, of %d", most, window, store.most, fetch)
		}
	})
}

// Rows that commit late are buffered even where there is no room for them.
func TestLargeEventsThatCommitLateStayWithinAFetch(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		const window, fetch, n = 100_000, 25_000, 50
		w.cfg.WindowBytes, w.cfg.FetchBytes, w.cfg.ReportEvery = window, fetch, time.Millisecond
		w.broker().Delay = 500 * time.Millisecond
		store := &fetches{Store: w.store}
		w.startOn(w.Context(), store, "r", 60*time.Second)
		for i := range 500 {
			w.store.Enqueue(event(fmt.Sprint("small", i), 0))
		}
		pass(10 * time.Second)
		late := w.store.Begin()
		for i := range n {
			late.Enqueue(largeEvent(fmt.Sprint("late", i)))
		}
		w.store.Enqueue(event("early", 0))
		pass(100 * time.Millisecond)
		late.Commit()
		w.summary("r")
		w.nothingPending()
		if most := w.mostBuffered(); most > window+fetch+large || store.most > fetch {
			w.Errorf("%d bytes buffered, in a window of %d, and %d bytes fetched at once, of %d", most, window, store.most, fetch)
		}
	})
}

// meter is a sink that knows the most bytes of messages that were in flight at once.
type meter struct {
	outbox.Sink

	mu        sync.Mutex
	now, most int
}

func (m *meter) add(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now += n
	m.most = max(m.most, m.now)
}

func (m *meter) Publish(ctx context.Context, msgs []outbox.Message) []outbox.Result {
	size := 0
	for i := range msgs {
		size += msgs[i].Size
	}
	m.add(size)
	defer m.add(-size)
	return m.Sink.Publish(ctx, msgs)
}

func TestBytesInFlightAreBounded(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		const entries = 10
		w.cfg.SendBytes = 500_000
		w.broker().Delay = 50 * time.Millisecond
		for i := range 2_000 {
			w.store.Enqueue(largeEvent(fmt.Sprint(i)))
		}
		sink := &meter{Sink: w.broker()}
		cfg := w.config("r")
		cfg.Destinations = map[string]relay.Destination{outbox.DefaultDestination: {Sink: sink}}
		r, err := relay.New(w.store, cfg)
		if err != nil {
			w.Fatal(err)
		}
		if _, err := r.Run(w.Context(), time.Now().Add(20*time.Second)); err != nil {
			w.Fatal(err)
		}
		w.nothingPending()
		if bound := w.cfg.SendBytes + entries*(large+1_000); sink.most > bound || sink.most < w.cfg.SendBytes/2 {
			w.Errorf("%d bytes in flight, at most %d may be", sink.most, bound)
		}
	})
}
