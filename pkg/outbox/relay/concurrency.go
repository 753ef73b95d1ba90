package relay

import (
	"slices"
	"time"
)

const (
	// leastConcurrency is the number of calls in flight that a destination begins with, and that only throttling
	// makes lower; or Config.Concurrency if that is lower. With one call allowed, a slow call stops all others: at 50
	// events/s, with 0.5 % of the calls taking 1.5 s, 16 % of the events took longer than 0.2 s, and with eight 0.3 %.
	leastConcurrency = 8
	// throttleEvery is the least time between two halvings: the calls of one moment are throttled together.
	throttleEvery = 100 * time.Millisecond
	// A call is slow when it takes slowTimes as long as usual, and slowAtLeast.
	slowTimes   = 4
	slowAtLeast = 50 * time.Millisecond
)

// calls has the times at which calls in flight began, the earliest first.
type calls []time.Time

// end removes a call that began at the given time.
func (c *calls) end(began time.Time) {
	i := slices.Index(*c, began)
	*c = slices.Delete(*c, i, i+1)
}

// concurrency is how many calls to one destination may be in flight, besides those that are slow while others
// succeed. It begins at leastConcurrency, grows by one with each call that succeeds while another call would start,
// shrinks by a quarter with each other call that succeeds with a batch less than half full, and halves after a
// throttled message or an unknown outcome.
type concurrency struct {
	// limit is how many calls may be in flight now, rounded down, from 1 to max. It shrinks by quarters. least is
	// leastConcurrency or max.
	limit, least, max float64
	// halved is when the limit was last halved.
	halved time.Time
	// usual is the moving average of the times that calls took which brought an acceptance, and accepted is when the
	// last of them ended.
	usual    time.Duration
	accepted time.Time
}

// newConcurrency returns a limit that never exceeds most.
func newConcurrency(most int) concurrency {
	least := min(leastConcurrency, float64(most))
	return concurrency{limit: least, least: least, max: float64(most)}
}

// allowed returns the number of calls that may be in flight now, at least 1, slow ones left out.
func (c *concurrency) allowed() int { return max(1, int(c.limit)) }

// ended takes in a call with an acceptance, which began and ended at the given times.
func (c *concurrency) ended(began, now time.Time) {
	c.accepted = now
	c.usual += (now.Sub(began) - c.usual) / 8
}

// slow returns how many of the calls in flight are slow: they have taken several times as long as usual, and since they
// began the destination has accepted something. They take no slot from others. When the destination has stopped
// answering altogether, its calls keep their slots. next is when one more call will be slow, which may be past, and zero
// when there is no other call.
func (c *concurrency) slow(in calls, now time.Time) (n int, next time.Time) {
	for _, began := range in {
		next = began.Add(max(slowAtLeast, slowTimes*c.usual))
		if now.Before(next) || !c.accepted.After(began) {
			return n, next
		}
		n++
	}
	return n, time.Time{}
}

// done adapts the limit to a call of which every message was accepted. fill is the number of its messages as a
// share of a full batch, from 0 to 1; wants says whether another call would start if more were allowed. With
// wants, or below least, the limit grows by 1; else, when fill is below a half, it shrinks by 0.25 down to least.
func (c *concurrency) done(fill float64, wants bool) {
	switch {
	case wants || c.limit < c.least:
		c.limit = min(c.max, c.limit+1)
	case fill < 0.5:
		c.limit = max(c.least, c.limit-0.25)
	}
}

// halve halves the limit, down to the given one, at most once in throttleEvery.
func (c *concurrency) halve(now time.Time, down float64) {
	if now.Sub(c.halved) >= throttleEvery {
		c.halved = now
		c.limit = max(min(c.limit, down), c.limit/2)
	}
}
