package dlq

import (
	"sync"
	"time"
)

// pace spaces messages evenly in time, to keep to a rate. It is safe for concurrent use.
type pace struct {
	mu sync.Mutex
	// every is the time between two messages, zero without a rate.
	every time.Duration
	// next is the earliest time of the next message.
	next time.Time
}

// newPace returns a pace of perSecond messages a second, or when perSecond is zero, one that lets every message go now.
func newPace(perSecond float64) *pace {
	p := &pace{}
	if perSecond > 0 {
		p.every = time.Duration(float64(time.Second) / perSecond)
	}
	return p
}

// reserve returns the time at which the caller may send n messages, which is now without a rate, and does not
// wait for it. The time that the next call returns is at least n*p.every later. Time in which no message was sent is
// not made up for: a pause is never followed by a burst.
func (p *pace) reserve(n int) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if p.every == 0 {
		return now
	}
	at := p.next
	if at.Before(now) {
		at = now
	}
	p.next = at.Add(time.Duration(n) * p.every)
	return at
}
