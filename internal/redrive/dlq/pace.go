package dlq

import (
	"sync"
	"time"
)

// pace spaces events evenly in time. Its zero value lets everything pass.
type pace struct {
	mu   sync.Mutex
	gap  time.Duration
	next time.Time
}

func newPace(perSecond float64) *pace {
	p := &pace{}
	if perSecond > 0 {
		p.gap = time.Duration(float64(time.Second) / perSecond)
	}
	return p
}

// reserve takes the next n places and returns when their turn is.
func (p *pace) reserve(n int) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if p.gap == 0 {
		return now
	}
	// What was not used is gone: a pause is no credit for a burst.
	at := p.next
	if at.Before(now) {
		at = now
	}
	p.next = at.Add(time.Duration(n) * p.gap)
	return at
}
