package relay

import (
	"time"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

// lostInARow is how many calls in a row must have an unknown outcome for every
// message (timeout, reset, 5xx) before the destination pauses.
const lostInARow = 3

// destination is one configured place to send to: its ready lanes, how many calls it may get now, and its part
// of the window.
type destination struct {
	name string
	sink outbox.Sink
	// limits are what sink.Limits returned: the bounds of a batch and of a message.
	limits   outbox.Limits
	onReject OnReject

	// ready has the lanes in the state ready, whose first item can be sent or buried now. It may also have lanes
	// that have left that state since.
	ready readyQueue
	// linger is how long a batch that is not full waits while calls are in flight. partialAt is when the batch
	// that waits now goes at the latest, zero when none waits.
	linger    time.Duration
	partialAt time.Time
	// conc says how many calls may be in flight.
	conc concurrency
	// inFlight is the number of calls in flight.
	inFlight int
	// events and bytes are the destination's share of the window, by the number and by the size of its buffered
	// events: a destination that stands still must not fill the memory that the others need.
	events, bytes share
	// deferred is the destination's rows that stay in the table for want of room: its value in cursor.destinations.
	deferred *deferral

	// pausedUntil is when the back-off of the whole destination ends, zero or past when it does not back off.
	// failures counts its failures in a row, and lost the calls in a row with an unknown outcome for every message.
	pausedUntil time.Time
	failures    int
	lost        int
	// probing is set from a failure of the destination until recover: then only one call at a time may start.
	probing bool
	// lastError is the text of the newest failure of the whole destination, empty from recover on.
	lastError string

	// counts are from the last report on, total from the start of the run to that report.
	counts, total DestinationCounts
}

// slots returns how many more calls may start now: none during the pause, one at a time while probing, else
// what conc allows. A result of 0 or below is none.
func (d *destination) slots(now time.Time) int {
	if now.Before(d.pausedUntil) {
		return 0
	}
	if d.probing {
		return 1 - d.inFlight
	}
	return d.conc.allowed() - d.inFlight
}

// lingers says whether the next batch is to wait because it is not full: calls in flight will soon make lanes
// ready that can go with it. If batches never waited, small ones would stay small, as the lanes of a batch become
// ready together. lingers sets partialAt when the wait begins and clears it when the batch is to go. Without a
// call in flight a batch goes at once.
func (d *destination) lingers(now time.Time) bool {
	if d.linger > 0 && d.inFlight > 0 && d.ready.peek() != nil && !d.fills() {
		if d.partialAt.IsZero() {
			d.partialAt = now.Add(d.linger)
		}
		if now.Before(d.partialAt) {
			return true
		}
	}
	d.partialAt = time.Time{}
	return false
}

// fills says whether the first items of the ready lanes fill a batch, in number or in bytes.
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

// wants says whether a call would start if more were allowed: a full batch is ready, or a lane is ready and no
// batch lingers.
func (d *destination) wants() bool {
	return d.fills() || d.partialAt.IsZero() && d.ready.peek() != nil
}

// full says whether the destination has used up what it may use of the window.
func (d *destination) full() bool { return d.events.full() || d.bytes.full() }

// fail pauses the destination from now on, for a time that doubles with each failure in a row from lo up to hi
// (see backoff, also for spread). It sets probing, so that until recover only one call at a time may start. why
// becomes lastError.
func (d *destination) fail(now time.Time, lo, hi time.Duration, spread float64, why string) {
	d.failures++
	d.pausedUntil = now.Add(backoff(d.failures, lo, hi, spread))
	d.probing = true
	d.lastError = why
}

// recover ends the pause, the probing and both counts of failures, and empties lastError.
func (d *destination) recover() {
	d.failures, d.lost, d.probing, d.lastError = 0, 0, false, ""
	d.pausedUntil = time.Time{}
}

// pack takes the first items of ready lanes, one of each lane, in the order of the lanes, up to the first that does not
// fit into the batch; the first is taken whatever its size. Items that can never be sent are returned apart, as faulty,
// and take no room. The lanes of all these items leave the ready queue and are sending then.
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
