package failpoint_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/failpoint"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/memory"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

// hook is a Hook that counts the steps, and fails the named step the first time.
type hook struct {
	mu    sync.Mutex
	seen  map[failpoint.Step]int
	order []failpoint.Step
	fails failpoint.Step
	lost  []string
}

func (h *hook) Unknown(ids []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lost = append(h.lost, ids...)
}

var errHook = errors.New("from the hook")

func (h *hook) At(_ context.Context, s failpoint.Step) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.seen == nil {
		h.seen = map[failpoint.Step]int{}
	}
	h.seen[s]++
	h.order = append(h.order, s)
	if s == h.fails && h.seen[s] == 1 {
		return errHook
	}
	return nil
}

func event(n int) outbox.Event {
	return outbox.Event{
		EventID: uuid.Must(uuid.NewV7()), AggregateType: "t", AggregateID: fmt.Sprint("a", n%40), Type: "e",
		Payload: json.RawMessage(fmt.Sprintf(`{"n":%d}`, n)),
	}
}

// relays runs two relays, one after the other. The stores and sinks of both call h.
func relays(t *testing.T, store *memory.Store, h failpoint.Hook) {
	t.Helper()
	broker := &memory.Broker{Delay: 7 * time.Millisecond}
	for n := range 200 {
		store.Enqueue(event(n))
	}
	var all sync.WaitGroup
	for n, until := range []time.Duration{12 * time.Second, 20 * time.Second} {
		start := time.NewTimer(time.Duration(n) * 5 * time.Second)
		all.Go(func() {
			<-start.C
			r, err := relay.New(failpoint.Store(store, h), relay.Config{
				JoinWindow: 10 * time.Second, Logger: slog.New(slog.DiscardHandler),
				Destinations: map[string]relay.Destination{outbox.DefaultDestination: {Sink: failpoint.Sink(broker, h)}},
			})
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := r.Run(t.Context(), time.Now().Add(until)); err != nil && !errors.Is(err, errHook) {
				t.Error(err)
			}
		})
	}
	all.Go(func() {
		for n := range 800 {
			<-time.After(20 * time.Millisecond)
			store.Enqueue(event(n))
		}
	})
	all.Wait()
}

func TestARelayPassesEveryStepInOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := &hook{}
		store := memory.NewStore()
		relays(t, store, h)
		for _, s := range failpoint.Steps() {
			if h.seen[s] == 0 && s != failpoint.Sent { // the broker in memory has no requests
				t.Errorf("%s was never told", s)
			}
		}
		first := func(s failpoint.Step) int { return slices.Index(h.order, s) }
		for _, follows := range [][2]failpoint.Step{
			{failpoint.BeforeJoin, failpoint.Joined},
			{failpoint.Joined, failpoint.BeforeRenew},
			{failpoint.BeforeRenew, failpoint.Renewed},
			{failpoint.Renewed, failpoint.LeaseTaken},
			{failpoint.BeforeFetch, failpoint.Fetched},
			{failpoint.BeforeSend, failpoint.Answered},
			{failpoint.Answered, failpoint.Accepted},
			{failpoint.Accepted, failpoint.BeforeSettle},
			{failpoint.BeforeSettle, failpoint.Settled},
			{failpoint.Settled, failpoint.Marked},
			{failpoint.BeforeHandOver, failpoint.HandedOver},
			{failpoint.BeforeLeave, failpoint.Left},
		} {
			if first(follows[0]) > first(follows[1]) {
				t.Errorf("%s came after %s", follows[0], follows[1])
			}
		}
	})
}

// A call that fails at a step before it is not made, one that fails at a step after it has taken effect; the
// relay goes on after both.
func TestAnErrorBeforeACallKeepsItFromBeingMade(t *testing.T) {
	t.Parallel()
	for operation, steps := range map[string][2]failpoint.Step{
		"join":   {failpoint.BeforeJoin, failpoint.Joined},
		"settle": {failpoint.BeforeSettle, failpoint.Settled},
		"renew":  {failpoint.BeforeRenew, failpoint.Renewed},
		"leave":  {failpoint.BeforeLeave, failpoint.Left},
		"fetch":  {failpoint.BeforeFetch, failpoint.Fetched},
	} {
		for i, s := range steps {
			t.Run(string(s), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					h := &hook{fails: s}
					store := memory.NewStore()
					// done has, for each operation that took effect, how often the
					// step had been passed by then.
					var done []int
					store.After = func(_ context.Context, step string) error {
						if step == operation {
							h.mu.Lock()
							defer h.mu.Unlock()
							done = append(done, h.seen[s])
						}
						return nil
					}
					relays(t, store, h)
					if h.seen[s] == 0 {
						t.Fatal("the step was not told")
					}
					if i == 0 && slices.Contains(done, 1) || i == 1 && !slices.Contains(done, 0) {
						t.Errorf("operations took effect after %v passings of %s", done, s)
					}
					if n := store.Pending(); n != 0 {
						t.Errorf("%d events are pending", n)
					}
				})
			})
		}
	}
}

func TestAnErrorAtASendLeavesTheOutcomeUnknown(t *testing.T) {
	t.Parallel()
	for s, accepted := range map[failpoint.Step]int{failpoint.BeforeSend: 0, failpoint.Answered: 1} {
		t.Run(string(s), func(t *testing.T) {
			t.Parallel()
			broker := &memory.Broker{}
			h := &hook{fails: s}
			sink := failpoint.Sink(broker, h)
			results := sink.Publish(t.Context(), []outbox.Message{{GroupID: "g", DeduplicationID: "d", Body: "b", Size: 1}})
			if results[0].Class != outbox.Unknown || !errors.Is(results[0].Err, errHook) || len(broker.Log()) != accepted || !slices.Equal(h.lost, []string{"d"}) {
				t.Errorf("%+v, %d accepted, want an unknown outcome and %d", results, len(broker.Log()), accepted)
			}
		})
	}
}

// poster sends each batch as one request.
type poster struct {
	memory.Broker
	url string
}

func (p *poster) Publish(ctx context.Context, msgs []outbox.Message) []outbox.Result {
	results := make([]outbox.Result, len(msgs))
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url, strings.NewReader(msgs[0].Body))
	if err != nil {
		return results
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		results[0].Err = err
		return results
	}
	results[0].Class = outbox.Accepted
	results[0].Err = answer.Body.Close()
	return results
}

// At the step Sent the server has the request. An error there loses its answer.
func TestSentIsToldOnceTheRequestHasLeft(t *testing.T) {
	t.Parallel()
	arrived, answer := make(chan struct{}), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		close(arrived)
		<-answer
	}))
	defer server.Close()
	defer close(answer)
	h := &hook{fails: failpoint.Sent}
	results := failpoint.Sink(&poster{url: server.URL}, h).Publish(t.Context(), []outbox.Message{{Body: "b"}})
	<-arrived
	if results[0].Class != outbox.Unknown || results[0].Err == nil || h.seen[failpoint.Sent] != 1 || h.seen[failpoint.Answered] != 0 {
		t.Errorf("%+v after %v", results, h.order)
	}
}
