package memory

import (
	"context"
	"fmt"
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
	// Delay passes twice in each call: before the messages are accepted, and before the answer.
	Delay time.Duration
	// Most has the limits that Limits returns. Defaults to those of SQS.
	Most outbox.Limits
	// Judge, when not nil, decides each message of a call before it is
	// accepted: a result of another class than Accepted is returned as it is.
	// It is called by one goroutine at a time.
	Judge func(call int, msgs []outbox.Message, i int) outbox.Result
	// Lose, when not nil, says whether the answer to a call is lost after its
	// messages were accepted. It is called by one goroutine at a time.
	Lose func(call int, msgs []outbox.Message) bool

	mu       sync.Mutex
	calls    int
	sequence int
	seen     map[string]accepted
	log      []Acceptance
}

type accepted struct {
	at  time.Time
	res outbox.Result
}

// Acceptance is a message that the broker took.
type Acceptance struct {
	At      time.Time
	Message outbox.Message
	Result  outbox.Result
	// Suppressed is set when the deduplication id was known, so that nothing was delivered.
	Suppressed bool
}

// Limits implements outbox.Sink.
func (b *Broker) Limits() outbox.Limits {
	if b.Most != (outbox.Limits{}) {
		return b.Most
	}
	return outbox.Limits{Entries: 10, MessageBytes: 1 << 20, BatchBytes: 1 << 20}
}

// Publish implements outbox.Sink.
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

func (b *Broker) loses(call int, msgs []outbox.Message) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Lose != nil && b.Lose(call, msgs)
}

// Log returns every acceptance so far, in order.
func (b *Broker) Log() []Acceptance {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]Acceptance(nil), b.log...)
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
