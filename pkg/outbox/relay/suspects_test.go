package relay_test

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/memory"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

// flaky is a broker that fails calls. With a message of a bad group in the call it does what bad says.
type flaky struct {
	*memory.Broker
	bad   map[string]bool
	fails func(ctx context.Context, msgs []outbox.Message) []outbox.Result
	// mu guards all fields below but slow.
	mu sync.Mutex
	// slow, when not 0, makes each call with a number that it divides take 1.5 s longer.
	slow, calls int
	// delayed has the deduplication ids of the messages in slow calls. inFlight and most are the calls in flight now
	// and at most.
	delayed        map[string]bool
	inFlight, most int
}

// Publish implements outbox.Sink.
func (f *flaky) Publish(ctx context.Context, msgs []outbox.Message) []outbox.Result {
	slow := f.begin(msgs)
	defer f.end()
	if slices.ContainsFunc(msgs, func(m outbox.Message) bool { return f.bad[m.GroupID] }) {
		return f.fails(ctx, msgs)
	}
	if slow {
		pass(1500 * time.Millisecond)
	}
	return f.Broker.Publish(ctx, msgs)
}

// begin counts a call and says whether it is a slow one.
func (f *flaky) begin(msgs []outbox.Message) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls++
	f.inFlight++
	f.most = max(f.most, f.inFlight)
	slow := f.slow > 0 && f.calls%f.slow == 0
	for _, m := range msgs {
		f.delayed[m.DeduplicationID] = f.delayed[m.DeduplicationID] || slow
	}
	return slow
}

func (f *flaky) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.inFlight--
}

// neverAnswered lets the caller wait until its time is over.
func neverAnswered(ctx context.Context, msgs []outbox.Message) []outbox.Result {
	<-ctx.Done()
	return make([]outbox.Result, len(msgs))
}

// reset closes the connection at once.
func reset(_ context.Context, msgs []outbox.Message) []outbox.Result {
	return make([]outbox.Result, len(msgs))
}

// entries fails the messages of bad groups with the class c, and accepts the others.
func (f *flaky) entries(c outbox.Class) func(context.Context, []outbox.Message) []outbox.Result {
	f.Judge = func(_ int, msgs []outbox.Message, i int) outbox.Result {
		if f.bad[msgs[i].GroupID] {
			return outbox.Result{Class: c, Err: errInternal, Code: "InternalError"}
		}
		return outbox.Result{Class: outbox.Accepted}
	}
	return f.Broker.Publish
}

// load is what lateness writes: 500 events of good lanes, one each time that every has passed, and 20 ms if that is 0;
// and events of as many bad lanes as bad says, in turn with each fifth of the others, or all at once.
type load struct {
	bad    int
	atOnce bool
	every  time.Duration
}

// lateness has a relay deliver a load to a broker that fails as fail says. It returns the times from the commit of each
// event of a good lane to its acceptance, sorted, those in slow calls left out.
func lateness(t *testing.T, c load, fail func(*flaky)) (late []time.Duration) {
	t.Helper()
	inWorld(t, func(w *world) {
		f := &flaky{Broker: w.broker(), bad: map[string]bool{}, delayed: map[string]bool{}}
		for i := range c.bad {
			f.bad[groupOf(t, fmt.Sprint("bad", i))] = true
		}
		fail(f)
		w.cfg.Destinations = map[string]relay.Destination{outbox.DefaultDestination: {Sink: f}}
		every := cmp.Or(c.every, 20*time.Millisecond)
		w.start(w.Context(), "r", 500*every+3*time.Second)
		pass(100 * time.Millisecond)
		committed := map[string]time.Time{}
		for n := range 500 {
			e := event(fmt.Sprint("good", n%250), n)
			committed[e.EventID.String()] = time.Now()
			w.store.Enqueue(e)
			pass(every / 2)
			for i := range c.bad {
				if c.atOnce && n == 100 || !c.atOnce && n%5 == 0 && n/5%c.bad == i {
					w.store.Enqueue(event(fmt.Sprint("bad", i), n))
				}
			}
			pass(every / 2)
		}
		w.summary("r")
		for _, a := range w.broker().Log() {
			if at, good := committed[a.Message.DeduplicationID]; good {
				if delete(committed, a.Message.DeduplicationID); !f.delayed[a.Message.DeduplicationID] {
					late = append(late, a.At.Sub(at))
				}
			}
		}
		if len(committed) > 0 {
			w.Errorf("%d events of good lanes are not sent", len(committed))
		}
		if f.most > relay.DefaultConcurrency {
			w.Errorf("%d calls in flight", f.most)
		}
	})
	slices.Sort(late)
	return late
}

// p99 returns the value that one in a hundred exceeds.
func p99(sorted []time.Duration) time.Duration { return sorted[len(sorted)*99/100] }

func TestLanesThatFailDoNotSlowTheOthers(t *testing.T) {
	t.Parallel()
	calm := p99(lateness(t, load{}, func(*flaky) {}))
	entries := func(c outbox.Class) func(*flaky) { return func(f *flaky) { f.fails = f.entries(c) } }
	unanswered := func(f *flaky) { f.fails = neverAnswered }
	reset := func(f *flaky) { f.fails = reset }
	for name, c := range map[string]struct {
		load load
		fail func(*flaky)
	}{
		"one, never answered":          {load{bad: 1}, unanswered},
		"twenty, never answered":       {load{bad: 20}, unanswered},
		"twenty at once, unanswered":   {load{bad: 20, atOnce: true}, unanswered},
		"one, reset":                   {load{bad: 1}, reset},
		"twenty, reset":                {load{bad: 20}, reset},
		"twenty at once, reset":        {load{bad: 20, atOnce: true}, reset},
		"twenty, entries transient":    {load{bad: 20}, entries(outbox.Transient)},
		"twenty, entries unknown":      {load{bad: 20}, entries(outbox.Unknown)},
		"one, its entries unavailable": {load{bad: 1}, entries(outbox.Unavailable)},
		"twenty, reset, few others":    {load{bad: 20, atOnce: true, every: 200 * time.Millisecond}, reset},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			late := lateness(t, c.load, c.fail)
			if 2*p99(late) > 3*calm {
				t.Errorf("p99 %v from commit to acceptance, at most %v; without lanes that fail %v", p99(late), late[len(late)-1], calm)
			}
		})
	}
}

func TestSlowCallsDoNotSlowTheOthers(t *testing.T) {
	t.Parallel()
	late := lateness(t, load{}, func(f *flaky) { f.slow = 200 })
	if n := len(late) - len(slices.DeleteFunc(late, func(d time.Duration) bool { return d > 200*time.Millisecond })); n > len(late)/200 {
		t.Errorf("%d of %d events in other calls took longer than 0.2 s", n, len(late))
	}
}

// One event of ten in a call is the reason that it is not answered: the others go on after one timeout.
func TestBatchWithoutAnAnswerIsSentAgainInParts(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		f := &flaky{Broker: w.broker(), bad: map[string]bool{groupOf(t, "bad"): true}, delayed: map[string]bool{}, fails: neverAnswered}
		w.cfg.Destinations = map[string]relay.Destination{outbox.DefaultDestination: {Sink: f}}
		var names []string
		for i := range 9 {
			names = append(names, fmt.Sprint("good", i))
			w.store.Enqueue(event(names[i], 0), event(names[i], 1))
		}
		w.store.Enqueue(event("bad", 0))
		w.start(w.Context(), "r", 60*time.Second)
		pass(relay.DefaultSendTimeout + 100*time.Millisecond)
		w.inOrder(w.broker(), 2, names...)
		w.summary("r")
		if f.most > 10 {
			w.Errorf("%d calls in flight", f.most)
		}
	})
}

// After an outage only an event that fails on its own is left: what comes then does not wait for its back-off.
func TestAnEventThatFailsAfterAnOutageDoesNotDelayTheNext(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		f := &flaky{Broker: w.broker(), bad: map[string]bool{}, delayed: map[string]bool{}, fails: reset}
		for i := range 4 {
			f.bad[groupOf(t, fmt.Sprint("bad", i))] = true
		}
		w.cfg.PollIdle = 100 * time.Millisecond
		w.cfg.Destinations = map[string]relay.Destination{outbox.DefaultDestination: {Sink: f}}
		w.start(w.Context(), "r", 200*time.Second)
		for i := range 4 {
			w.store.Enqueue(event(fmt.Sprint("bad", i), 0))
			pass(10 * time.Second)
		}
		if sum := len(w.broker().Log()); sum != 0 {
			w.Errorf("%d events are accepted", sum)
		}
		pass(60 * time.Second)
		w.store.Enqueue(event("good", 0))
		pass(200 * time.Millisecond)
		w.inOrder(w.broker(), 1, "good")
		w.summary("r")
	})
}
