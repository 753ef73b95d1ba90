package relay

import "time"

const (
	// startConcurrency is the number of calls in flight that a destination begins with, or Config.Concurrency if
	// that is lower.
	startConcurrency = 8
	// throttleEvery is the least time between two halvings: the calls of one moment are throttled together.
	throttleEvery = 100 * time.Millisecond
)

// concurrency is how many calls to one destination may be in flight. It begins at startConcurrency, grows by one
// with each call that succeeds while another call would start, shrinks by a quarter with each other call that
// succeeds with a batch less than half full, and halves after a throttled message or an unknown outcome.
type concurrency struct {
	// limit is how many calls may be in flight now, rounded down, from 1 to max. It shrinks by quarters.
	limit float64
	max   float64
	// halved is when the limit was last halved.
	halved time.Time
}

// newConcurrency returns a limit that never exceeds most.
func newConcurrency(most int) concurrency {
	return concurrency{limit: min(startConcurrency, float64(most)), max: float64(most)}
}

// allowed returns the number of calls that may be in flight now, at least 1.
func (c *concurrency) allowed() int { return max(1, int(c.limit)) }

// done adapts the limit to a call of which every message was accepted. fill is the number of its messages as a
// share of a full batch, from 0 to 1; wants says whether another call would start if more were allowed. With
// wants the limit grows by 1; else, when fill is below a half, it shrinks by 0.25.
func (c *concurrency) done(fill float64, wants bool) {
	switch {
	case wants:
		c.limit = min(c.max, c.limit+1)
	case fill < 0.5:
		c.limit = max(1, c.limit-0.25)
	}
}

// throttled halves the limit after a call with throttled messages or unknown outcomes, at most once in
// throttleEvery.
func (c *concurrency) throttled(now time.Time) {
	if now.Sub(c.halved) >= throttleEvery {
		c.halved = now
		c.limit = max(1, c.limit/2)
	}
}
