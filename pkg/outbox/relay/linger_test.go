package relay

import (
	"testing"
	"time"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

func TestABatchThatIsNotFullWaitsWhileAnotherIsInFlight(t *testing.T) {
	t.Parallel()
	const linger = 2 * time.Millisecond
	now := time.Now()
	for _, c := range []struct {
		name     string
		inFlight int
		linger   time.Duration
		sizes    []int
		waits    bool
	}{
		{"one event beside a call in flight", 1, linger, []int{10}, true},
		{"one event alone", 0, linger, []int{10}, false},
		{"nothing", 1, linger, nil, false},
		{"a full batch", 1, linger, []int{10, 10, 10}, false},
		{"what exceeds the bytes of a batch", 1, linger, []int{60, 60}, false},
		{"one event when no batch lingers", 1, -1, []int{10}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d := &destination{limits: outbox.Limits{Entries: 3, BatchBytes: 100}, linger: c.linger, inFlight: make(calls, c.inFlight), conc: newConcurrency(8)}
			for _, size := range c.sizes {
				d.ready.push(&lane{queue: []*item{{msg: outbox.Message{Size: size}}}})
			}
			if got := d.lingers(now); got != c.waits {
				t.Errorf("lingers: %t, want %t", got, c.waits)
			}
			if got, want := d.wants(), len(c.sizes) > 0 && !c.waits; got != want {
				t.Errorf("wants more in flight: %t, want %t", got, want)
			}
			if c.waits && !d.partialAt.Equal(now.Add(linger)) {
				t.Errorf("waits until %v, want %v later", d.partialAt.Sub(now), linger)
			}
			if d.lingers(now.Add(linger)) || !d.partialAt.IsZero() {
				t.Error("waits for longer than it should")
			}
		})
	}
}

func TestALaneThatLeavesItsShardDoesNotFillABatch(t *testing.T) {
	t.Parallel()
	d := &destination{limits: outbox.Limits{Entries: 2, BatchBytes: 100}, linger: time.Millisecond, inFlight: make(calls, 1)}
	gone := &lane{queue: []*item{{}}}
	d.ready.push(gone)
	d.ready.push(&lane{queue: []*item{{}}})
	gone.state = resting
	if !d.lingers(time.Now()) {
		t.Error("one ready lane was taken for two")
	}
}
