package awsfake

import (
	"container/heap"
	"sync"
	"time"

	"github.com/serverless-outbox/serverless-outbox/internal/placed"
)

// Clock is the time that a [Server] goes by: visibility timeouts, deduplication windows, delays and long polls. It must
// be safe for concurrent use.
type Clock interface {
	Now() time.Time
	// AfterFunc calls f in a goroutine of its own once d has passed. The function stop prevents the call, and
	// returns whether it did: false when f was called or stop was called before.
	AfterFunc(d time.Duration, f func()) (stop func() bool)
}

// ShiftClock is a clock that runs at the normal pace and can be moved forward.
// Timers that become due by a move fire at once. It is safe for concurrent use.
type ShiftClock struct {
	mu     sync.Mutex
	offset time.Duration
	timers placed.Heap[*timer]
	real   *time.Timer
}

// NewShiftClock returns a clock that starts at the present time.
func NewShiftClock() *ShiftClock { return &ShiftClock{} }

// Now returns the present time plus every duration that the clock was moved forward by.
func (c *ShiftClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now()
}

func (c *ShiftClock) now() time.Time { return time.Now().Add(c.offset) }

// Advance moves the clock forward by d, and starts the functions of timers that are due by then without waiting
// for them. A d of 0 or less is ignored: the time of AWS does not go back.
func (c *ShiftClock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if d > 0 {
		c.offset += d
		c.fire()
	}
}

// AfterFunc implements [Clock].
func (c *ShiftClock) AfterFunc(d time.Duration, f func()) (stop func() bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := &timer{at: c.now().Add(d), f: f}
	heap.Push(&c.timers, t)
	if t.index == 0 {
		c.arm()
	}
	return func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		if t.index < 0 {
			return false
		}
		heap.Remove(&c.timers, t.index)
		return true
	}
}

// fire starts the functions of all timers that are due, and sets c.real to go off for the next one. c.mu is
// locked by the caller.
func (c *ShiftClock) fire() {
	now := c.now()
	for len(c.timers) > 0 && !c.timers[0].at.After(now) {
		go c.timers.Take().f()
	}
	c.arm()
}

func (c *ShiftClock) arm() {
	if c.real != nil {
		c.real.Stop()
		c.real = nil
	}
	if len(c.timers) > 0 {
		c.real = time.AfterFunc(c.timers[0].at.Sub(c.now()), func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.fire()
		})
	}
}

type timer struct {
	at    time.Time
	f     func()
	index int
}

// Before implements [placed.Item].
func (t *timer) Before(other *timer) bool { return t.at.Before(other.at) }

// Place implements [placed.Item].
func (t *timer) Place() *int { return &t.index }
