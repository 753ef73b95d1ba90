package memory

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

// DedupWindow is how long a broker remembers a deduplication id: AWS documents
// five minutes.
const DedupWindow = 5 * time.Minute

// Broker is a FIFO destination in memory. It implements outbox.Sink. It is safe
// for concurrent use.
type Broker struct {
	// Delay passes twice in each call: before the messages are accepted, and before the answer. When the context ends
	// during one of the two, all results are Unknown. Zero is no delay.
	Delay time.Duration
	// Judge, when not nil, decides whether message i of a call is accepted: a result of
	// another class than Accepted is the answer, and nothing is delivered. Calls are numbered
	// from 1. It is called by one goroutine at a time, while the broker is locked.
	Judge func(call int, msgs []outbox.Message, i int) outbox.Result
	// Lose, when not nil, says whether the answer to a call is lost after the messages were
	// accepted: all results are then Unknown. Calls are numbered from 1. It is called by one
	// goroutine at a time, while the broker is locked.
	Lose func(call int, msgs []outbox.Message) bool

	// mu guards all fields below.
	mu sync.Mutex
	// calls and sequence count the calls of Publish and the messages accepted and not suppressed.
	calls    int
	sequence int
	// seen has the last acceptance of each deduplication id that was not suppressed, by group id, a zero byte and the
	// deduplication id; nil before any.
	seen map[string]accepted
	log  []Acceptance
}

// accepted is when a deduplication id was accepted, and the answer, which a duplicate gets again.
type accepted struct {
	at  time.Time
	res outbox.Result
}

// Acceptance is a message that the broker accepted, also when the answer was lost.
type Acceptance struct {
	At      time.Time
	Message outbox.Message
	// Result is the answer, of the class Accepted.
	Result outbox.Result
	// Suppressed is set when the deduplication id was known in the message's group, so that nothing was delivered.
	// Result is then the answer to the message that first had this id.
	Suppressed bool
}

// Limits implements outbox.Sink, with the limits of SQS.
func (b *Broker) Limits() outbox.Limits {
	return outbox.Limits{Entries: 10, MessageBytes: 1 << 20, BatchBytes: 1 << 20}
}

// Publish implements outbox.Sink. It accepts the messages in their order, each by itself, and does not check the
// limits.
func (b *Broker) Publish(ctx context.Context, msgs []outbox.Message) []outbox.Result {
	out := make([]outbox.Result, len(msgs))
	fail := func(err error) []outbox.Result {
		for i := range out {
			out[i] = outbox.Result{Err: err, Code: "RequestCanceled"}
		}
		return out
	}
	b.mu.Lock()
	b.calls++
	call := b.calls
	b.mu.Unlock()
	if err := wait(ctx, b.Delay); err != nil {
		return fail(err)
	}
	for i := range msgs {
		out[i] = b.accept(call, msgs, i)
	}
	if b.loses(call, msgs) {
		return fail(fmt.Errorf("publish: connection reset"))
	}
	if err := wait(ctx, b.Delay); err != nil {
		return fail(err)
	}
	return out
}

// accept asks Judge about message i of a call, accepts or suppresses the message, adds it to the log, and returns the
// answer.
func (b *Broker) accept(call int, msgs []outbox.Message, i int) outbox.Result {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.Judge != nil {
		if r := b.Judge(call, msgs, i); r.Class != outbox.Accepted {
			return r
		}
	}
	now, m := time.Now(), msgs[i]
	key := m.GroupID + "\x00" + m.DeduplicationID
	if before, known := b.seen[key]; known && now.Sub(before.at) < DedupWindow {
		b.log = append(b.log, Acceptance{At: now, Message: m, Result: before.res, Suppressed: true})
		return before.res
	}
	b.sequence++
	r := outbox.Result{Class: outbox.Accepted, MessageID: fmt.Sprintf("m-%d", b.sequence), SequenceNumber: fmt.Sprintf("%020d", b.sequence)}
	if b.seen == nil {
		b.seen = map[string]accepted{}
	}
	b.seen[key] = accepted{at: now, res: r}
	b.log = append(b.log, Acceptance{At: now, Message: m, Result: r})
	return r
}

// loses reports whether Lose says that the answer to a call is lost, and false when Lose is nil.
func (b *Broker) loses(call int, msgs []outbox.Message) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Lose != nil && b.Lose(call, msgs)
}

// Log returns every acceptance so far, suppressed ones included, in order.
func (b *Broker) Log() []Acceptance {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.log)
}

// Calls returns the number of calls so far.
func (b *Broker) Calls() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.calls
}

// wait returns after d, or with the error of ctx when ctx ends first.
func wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
