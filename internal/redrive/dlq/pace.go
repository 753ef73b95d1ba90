package dlq

import (
	"sync"
	"time"
)

// pace spaces messages evenly in time. It is safe for concurrent use.
type pace struct {
	mu sync.Mutex
	// every is the time between two messages, zero without a rate.
	every time.Duration
	// next is the time of the next message.
	next time.Time
}

func newPace(perSecond float64) *pace {
	p := &pace{}
	if perSecond > 0 {
		p.every = time.Duration(float64(time.Second) / perSecond)
	}
	return p
}

// reserve takes the turns of the next n messages and returns the time of the
// first of them. Turns that were not taken in their time are lost, so a pause is
// never followed by a burst.
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
