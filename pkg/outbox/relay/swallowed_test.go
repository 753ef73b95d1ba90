package relay_test

import (
	"context"
	"testing"
	"time"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/memory"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

// Two transactions used one event id. The broker answers the second with the message id of the first, and the relay says
// that it is not delivered.
func TestAnEventThatTheBrokerTakesForAnotherIsCounted(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		first, second := event("a", 0), event("a", 1)
		second.EventID = first.EventID
		w.store.Enqueue(first, event("a", 2))
		w.store.Enqueue(second, event("a", 3))
		w.start(w.Context(), "r", 2*time.Second)
		if sum := w.summary("r"); sum.Published != 4 || sum.Swallowed != 1 {
			w.Errorf("published = %d, swallowed = %d, want 4 and 1", sum.Published, sum.Swallowed)
		}
	})
}

// What is sent again under its own deduplication id is the same event, however often.
func TestAResendIsNoOtherEvent(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.broker().Lose = func(call int, _ []outbox.Message) bool { return call%2 == 1 }
		w.store.Enqueue(event("a", 0), event("a", 1), event("a", 2))
		w.start(w.Context(), "r", 30*time.Second)
		if sum := w.summary("r"); sum.Unknown == 0 || sum.Swallowed != 0 {
			w.Errorf("unknown = %d, swallowed = %d, want some and none", sum.Unknown, sum.Swallowed)
		}
		w.inOrder(w.broker(), 3, "a")
	})
}

// A number of the broker that is not above the last one of the lane is that of an earlier message, also where the relay has
// not seen its message id.
func TestASequenceNumberThatIsNotAboveTheLastIsNoticed(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		numbers := []string{"99", "100", "100", "101"}
		sink := &numbered{Broker: w.broker(), numbers: numbers}
		w.store.Enqueue(event("a", 0), event("a", 1), event("a", 2), event("a", 3))
		cfg := w.config("r")
		cfg.Destinations = map[string]relay.Destination{outbox.DefaultDestination: {Sink: sink}}
		r, err := relay.New(w.store, cfg)
		if err != nil {
			w.Fatal(err)
		}
		sum, err := r.Run(w.Context(), time.Now().Add(2*time.Second))
		if err != nil || sum.Swallowed != 1 {
			w.Errorf("swallowed = %d, %v, want 1", sum.Swallowed, err)
		}
	})
}

// numbered is a broker that answers with the given sequence numbers, one for each call.
type numbered struct {
	*memory.Broker
	numbers []string
}

// Publish implements outbox.Sink.
func (n *numbered) Publish(ctx context.Context, msgs []outbox.Message) []outbox.Result {
	results := n.Broker.Publish(ctx, msgs)
	results[0].SequenceNumber, n.numbers = n.numbers[0], n.numbers[1:]
	return results
}
