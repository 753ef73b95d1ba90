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

func TestLargeEventsBehindSmallOnesStayWithinTheWindow(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		const window = 100_000
		w.cfg.WindowBytes, w.cfg.ReportEvery = window, time.Millisecond
		for i := range 2_000 {
			w.store.Enqueue(event(fmt.Sprint("small", i), 0))
		}
		for i := range 100 {
			w.store.Enqueue(largeEvent(fmt.Sprint("large", i)))
		}
		w.start(w.Context(), "r", 20*time.Second)
		w.summary("r")
		w.nothingPending()
		if most := w.mostBuffered(); most > window+large+1_000 || most < window/2 {
			w.Errorf("%d bytes buffered, in a window of %d", most, window)
		}
	})
}

func TestLargeEventsThatCommitLateStayWithinAFetch(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		const window, fetch, n = 100_000, 25_000, 50
		w.cfg.WindowBytes, w.cfg.FetchBytes, w.cfg.ReportEvery = window, fetch, time.Millisecond
		w.broker().Delay = 200 * time.Millisecond
		w.start(w.Context(), "r", 30*time.Second)
		pass(100 * time.Millisecond)
		late := w.store.Begin()
		for i := range n {
			late.Enqueue(largeEvent(fmt.Sprint("late", i)))
		}
		for i := range n {
			w.store.Enqueue(largeEvent(fmt.Sprint("early", i)))
		}
		pass(300 * time.Millisecond)
		late.Commit()
		w.summary("r")
		w.nothingPending()
		if most := w.mostBuffered(); most > window+2*fetch+large+2_000 {
			w.Errorf("%d bytes buffered, in a window of %d", most, window)
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
