package relay

import (
	"time"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

// lostInARow is how many calls in a row must have an unknown outcome for every
// message (timeout, reset, 5xx) before the destination pauses.
const lostInARow = 3

// destination is one place to send to: its ready lanes, and how much it may be
// sent now.
type destination struct {
	name     string
	sink     outbox.Sink
	limits   outbox.Limits
	onReject OnReject

	ready readyQueue
	// linger is how long a batch that is not full waits while calls are in flight. partialAt is when the batch
	// that waits now goes at the latest, zero when none waits.
	linger    time.Duration
	partialAt time.Time
	conc      concurrency
	// inFlight is the number of calls in flight.
	inFlight int
	// buffered is the number of the destination's buffered events and bufferedBytes their size. cap and
	// capBytes are its share of the window: a destination that stands still must not fill the memory that the
	// others need.
	buffered, bufferedBytes int
	cap, capBytes           int
	// deferred is the destination's rows that stay in the table for want of room. It is shared with the cursor.
	deferred *deferral

	// pausedUntil is when the back-off of the whole destination ends, zero or past when it does not back off.
	// failures counts its failures in a row, and lost the calls in a row with an unknown outcome for every
	// message.
	pausedUntil time.Time
	failures    int
	lost        int
	// probing allows only one call at a time, from a failure of the destination until recover.
	probing bool
	// lastError is the text of the newest failure, empty while there is none.
	lastError string

	counts DestinationCounts // since the last report
	total  DestinationCounts // before it
}

// slots returns how many more calls may start now. Where it is 0 or below, none may.
func (d *destination) slots(now time.Time) int {
	if now.Before(d.pausedUntil) {
		return 0
	}
	if d.probing {
		return 1 - d.inFlight
	}
	return d.conc.allowed() - d.inFlight
}

// lingers says whether the next batch is to wait until partialAt because it is
// not full: calls in flight will soon make lanes ready that can go with it. Without
// that, thin batches would stay thin: the lanes of a batch become ready together.
// Without a call in flight a batch goes at once.
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

// wants says whether the next call would start if more were allowed: a lane is ready, and its batch does not
// linger.
func (d *destination) wants() bool {
	return d.fills() || d.partialAt.IsZero() && d.ready.peek() != nil
}

// full says whether the destination has used up its share of the window.
func (d *destination) full() bool { return d.buffered >= d.cap || d.bufferedBytes >= d.capBytes }

// fail pauses the destination for the back-off between lo and hi: see backoff. why is the text for lastError.
func (d *destination) fail(now time.Time, lo, hi time.Duration, spread float64, why string) {
	d.failures++
	d.pausedUntil = now.Add(backoff(d.failures, lo, hi, spread))
	d.probing = true
	d.lastError = why
}

// recover ends the pause and the count of failures.
func (d *destination) recover() {
	d.failures, d.lost, d.probing, d.lastError = 0, 0, false, ""
	d.pausedUntil = time.Time{}
}

// pack takes the first items of ready lanes, one of each lane, as many as fit into one batch. Items that can
// never be sent are returned apart, as faulty. The lanes of all these items are sending then.
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
