package relay_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

var errInternal = errors.New("We encountered an internal error. Please try again.") //nolint:revive,staticcheck // the words of SQS

// internalError is the result of an entry that the broker failed without blaming the sender.
func internalError() outbox.Result {
	return outbox.Result{Class: outbox.Transient, Err: errInternal, Code: "InternalError"}
}

// An outage whose calls succeed and whose entries fail, of all events or of four in five, is an outage of the
// destination: no event is given up, few calls are made, and all is delivered soon after it.
func TestOutageOfEntriesIsChargedToNoEvent(t *testing.T) {
	t.Parallel()
	const lanes, each = 200, 11
	for name, c := range map[string]struct {
		onReject relay.OnReject
		failing  float64
		calls    int
	}{
		"all, skip":     {relay.Skip, 1, 250},
		"all, block":    {relay.Block, 1, 250},
		"most, skip":    {relay.Skip, 0.8, 10_000},
		"most, block":   {relay.Block, 0.8, 10_000},
		"nothing fails": {relay.Skip, 0, 10_000},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, func(w *world) {
				w.cfg.PollIdle = time.Second
				w.cfg.Destinations = map[string]relay.Destination{outbox.DefaultDestination: {OnReject: c.onReject}}
				var down atomic.Bool
				random := rand.New(rand.NewPCG(1, 2))
				w.broker().Judge = func(int, []outbox.Message, int) outbox.Result {
					if down.Load() && random.Float64() < c.failing {
						return internalError()
					}
					return outbox.Result{Class: outbox.Accepted}
				}
				w.start(w.Context(), "r", 300*time.Second)
				var names []string
				for i := range lanes {
					names = append(names, fmt.Sprint("a", i))
					w.store.Enqueue(event(names[i], 0))
				}
				pass(5 * time.Second)
				down.Store(true)
				calls := w.broker().Calls()
				for n := range each - 1 {
					for _, a := range names {
						w.store.Enqueue(event(a, 1+n))
						pass(100 * time.Millisecond)
					}
				}
				if n := w.broker().Calls() - calls; n > c.calls {
					w.Errorf("%d calls in an outage of 200 s", n)
				}
				down.Store(false)
				pass(15 * time.Second)
				w.inOrder(w.broker(), each, names...)
				w.nothingPending()
				if dead, blocked := w.store.DeadLetters(), w.store.Blocked(); len(dead) > 0 || len(blocked) > 0 {
					w.Errorf("%d dead letters, %d blocked lanes", len(dead), len(blocked))
				}
				w.summary("r")
			})
		})
	}
}

func TestEventThatFailsAmongOthersThatSucceedDies(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.cfg.PollIdle = time.Second
		bad := groupOf(t, "bad")
		tries := 0
		w.broker().Judge = func(_ int, msgs []outbox.Message, i int) outbox.Result {
			if msgs[i].GroupID == bad && msgs[i].Body == `{"n":0}` {
				tries++
				return internalError()
			}
			return outbox.Result{Class: outbox.Accepted}
		}
		w.start(w.Context(), "r", 300*time.Second)
		w.store.Enqueue(event("bad", 0), event("bad", 1))
		for n := range 250 {
			w.store.Enqueue(event(fmt.Sprint("good", n%50), n/50))
			pass(time.Second)
		}
		w.summary("r")
		w.nothingPending()
		dead := w.store.DeadLetters()
		if len(dead) != 1 || dead[1].Attempts != relay.DefaultMaxAttempts || dead[1].Code != "InternalError" || tries > 2*relay.DefaultMaxAttempts {
			w.Errorf("after %d tries: %+v", tries, dead)
		}
		if got := fmt.Sprint(groups(w.broker())[bad]); got != `[{"n":1}]` {
			w.Errorf("accepted %s", got)
		}
	})
}

// Whether the event or the destination is at fault cannot be known, so the event waits.
func TestEventThatFailsWithNothingElseSentWaits(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.cfg.PollIdle = time.Second
		var down atomic.Bool
		down.Store(true)
		w.broker().Judge = func(int, []outbox.Message, int) outbox.Result {
			if down.Load() {
				return internalError()
			}
			return outbox.Result{Class: outbox.Accepted}
		}
		w.start(w.Context(), "r", 1000*time.Second)
		w.store.Enqueue(event("a", 0), event("a", 1))
		pass(900 * time.Second)
		if n := w.broker().Calls(); n < 90 || n > 200 {
			w.Errorf("%d calls in 900 s", n)
		}
		down.Store(false)
		if sum := w.summary("r"); sum.DeadLetters != 0 {
			w.Errorf("summary: %+v", sum)
		}
		w.inOrder(w.broker(), 2, "a")
		w.nothingPending()
	})
}
