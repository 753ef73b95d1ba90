package relay

import "time"

// Concurrency starts here and adapts.
const (
	startConcurrency = 8
	// throttleEvery is how often throttles may halve the concurrency: one burst
	// of them is one piece of news.
	throttleEvery = 100 * time.Millisecond
)

// concurrency is how many calls to one destination may be in flight. It grows
// while full batches leave with more work waiting, shrinks while batches run
// thin with none waiting, and halves when the destination throttles.
type concurrency struct {
	limit  float64
	max    float64
	halved time.Time
}

func newConcurrency(most int) concurrency {
	return concurrency{limit: min(startConcurrency, float64(most)), max: float64(most)}
}

// allowed returns the number of calls allowed now, at least 1.
func (c *concurrency) allowed() int { return max(1, int(c.limit)) }

// done takes in a call that succeeded: its fill as a share of a full batch, and
// whether ready work waits.
func (c *concurrency) done(fill float64, waiting bool) {
	switch {
	case waiting:
		c.limit = min(c.max, c.limit+1)
	case fill < 0.5:
		c.limit = max(1, c.limit-0.25)
	}
}

// throttled takes in a throttle or a lost call.
func (c *concurrency) throttled(now time.Time) {
	if now.Sub(c.halved) >= throttleEvery {
		c.halved = now
		c.limit = max(1, c.limit/2)
	}
}
