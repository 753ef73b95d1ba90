package relay

import (
	"time"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

// lostInARow is how many calls in a row must be lost (timeout, reset, 5xx)
// before the destination, not the message, is taken to be at fault.
const lostInARow = 3

// destination is one place to send to: its ready lanes, and how much it takes.
type destination struct {
	name     string
	sink     outbox.Sink
	limits   outbox.Limits
	onReject OnReject

	ready readyQueue
	// linger is how long a batch that is not full waits while others are in
	// flight, and partialAt when the one that waits now may go, 0 without one.
	linger    time.Duration
	partialAt time.Time
	conc      concurrency
	// inFlight is the number of calls in flight.
	inFlight int
	// buffered is the number of its buffered events and bufferedBytes their size,
	// cap and capBytes are its share of the window: a destination that stands
	// still must not fill the memory that the others need.
	buffered, bufferedBytes int
	cap, capBytes           int
	// deferred is what was left in the table for want of room. The cursor has it
	// too.
	deferred *deferral

	// pausedUntil and failures are the back-off of the whole destination.
	// probing allows one call at a time until one succeeds.
	pausedUntil time.Time
	failures    int
	lost        int
	probing     bool
	lastError   string

	counts DestinationCounts // since the last report
	total  DestinationCounts // before it
}

// slots returns how many more calls may start now.
func (d *destination) slots(now time.Time) int {
	if now.Before(d.pausedUntil) {
		return 0
	}
	if d.probing {
		return 1 - d.inFlight
	}
	return d.conc.allowed() - d.inFlight
}

// lingers says whether the next batch, which is not full, is to wait until
// partialAt. Calls in flight will soon make lanes ready that can go with it, and
// once batches are thin, they come back as thin as they left. Nothing waits for
// a call that is not there, so a lone event goes at once.
func (d *destination) lingers(now time.Time) bool {
	if d.linger <= 0 || d.inFlight == 0 || d.ready.peek() == nil || d.fills() {
		d.partialAt = time.Time{}
		return false
	}
	if d.partialAt.IsZero() {
		d.partialAt = now.Add(d.linger)
	}
	if now.Before(d.partialAt) {
		return true
	}
	d.partialAt = time.Time{}
	return false
}

// fills says whether the ready lanes fill a batch.
func (d *destination) fills() bool {
	n, size := 0, 0
	for _, l := range d.ready.lanes[d.ready.head:] {
		if l.state != ready {
			continue
		}
		n++
		size += l.queue[0].msg.Size
		if n == d.limits.Entries || size > d.limits.BatchBytes {
			return true
		}
	}
	return false
}

// wants says whether more would be in flight were it allowed. A batch that
// lingers is there by choice.
func (d *destination) wants() bool {
	return d.fills() || d.partialAt.IsZero() && d.ready.peek() != nil
}

// full says whether the destination has used up its share of the window.
func (d *destination) full() bool { return d.buffered >= d.cap || d.bufferedBytes >= d.capBytes }

// fail pauses the destination.
func (d *destination) fail(now time.Time, lo, hi time.Duration, spread float64, why string) {
	d.failures++
	d.pausedUntil = now.Add(backoff(d.failures, lo, hi, spread))
	d.probing = true
	d.lastError = why
}

// recover ends the back-off.
func (d *destination) recover() {
	d.failures, d.lost, d.probing, d.lastError = 0, 0, false, ""
	d.pausedUntil = time.Time{}
}

// pack takes the first items of ready lanes, one each, as many as one batch
// holds. Items that can never be sent are returned apart.
func (d *destination) pack() (batch, faulty []*item) {
	size := 0
	for len(batch) < d.limits.Entries {
		l := d.ready.peek()
		if l == nil {
			break
		}
		it := l.queue[0]
		if it.fault != nil {
			d.ready.pop()
			faulty = append(faulty, it)
			continue
		}
		if len(batch) > 0 && size+it.msg.Size > d.limits.BatchBytes {
			break
		}
		d.ready.pop()
		size += it.msg.Size
		batch = append(batch, it)
	}
	return batch, faulty
}
