package relay

import "time"

// Concurrency starts here and adapts.
const (
	startConcurrency = 8
	// throttleEvery is the least time between two halvings: the calls of one moment
	// are throttled together.
	throttleEvery = 100 * time.Millisecond
)

// concurrency is how many calls to one destination may be in flight. It grows
// while calls succeed and more lanes are ready, shrinks while batches are less
// than half full and no lane is, and halves when the destination throttles.
type concurrency struct {
	// limit is how many calls may be in flight now, from 1 to max. It has fractions because it shrinks by
	// quarters.
	limit float64
	max   float64
	// halved is when the limit was last halved.
	halved time.Time
}

func newConcurrency(most int) concurrency {
	return concurrency{limit: min(startConcurrency, float64(most)), max: float64(most)}
}

// allowed returns the number of calls allowed now, at least 1.
func (c *concurrency) allowed() int { return max(1, int(c.limit)) }

// done adapts the limit to a call that succeeded. fill is the number of its messages as a share of a full
// batch, wants says whether more calls would start if more were allowed.
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
