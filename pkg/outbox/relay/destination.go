package relay

import (
	"time"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

// suspectCalls is the most calls in flight to one destination with events that have failed before. They have slots of
// their own, so that calls which are not answered leave those of the others free.
const suspectCalls = 8

// batch is the events of one call, the first ones of some lanes.
type batch struct {
	dest  *destination
	items []*item
	// suspects says that the batch was packed from destination.suspects.
	suspects bool
	// began is when the call began.
	began time.Time
	// bytes is the size of the messages, while the call is in flight.
	bytes int
}

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
	// suspects has the other ready lanes: those whose first item has failed. Their batches have no other events, and
	// alone do not pause the destination: what fails again and again is more likely to be at fault itself.
	suspects readyQueue
	// linger is how long a batch that is not full waits while calls are in flight. partialAt is when the batch
	// that waits now goes at the latest, zero when none waits.
	linger    time.Duration
	partialAt time.Time
	// conc says how many calls may be in flight.
	conc concurrency
	// inFlight is the calls in flight with batches from ready, and suspectsInFlight with batches from suspects.
	inFlight, suspectsInFlight calls
	// events and bytes are the destination's share of the window, by the number and by the size of its buffered
	// events: a destination that stands still must not fill the memory that the others need.
	events, bytes share
	// sending is the destination's share of Config.SendBytes: the size of its messages in flight.
	sending share
	// deferred is the destination's rows that stay in the table for want of room: its value in cursor.destinations.
	deferred *deferral

	// pausedUntil is when the back-off of the whole destination ends, zero or past when it does not back off.
	// suspectsUntil is the same for batches of suspects: it is later when one of those failed as a probe.
	pausedUntil, suspectsUntil time.Time
	// failures counts the failures of the destination in a row, the last of which was at failedAt. failedCalls counts
	// the calls with a batch from ready that failed in a row.
	failures, failedCalls int
	failedAt              time.Time
	// probing is set from a failure of the destination until recover: then only one call at a time may start from each
	// of the two queues.
	probing bool
	// lastError is the text of the newest failure of the whole destination, empty from recover on.
	lastError string
	// firsts counts the results of events that had not failed before.
	firsts tally

	// counts are from the last report on, total from the start of the run to that report.
	counts, total DestinationCounts
}

// queue returns the queue of ready lanes that is for the lane, which has a first item.
func (d *destination) queue(l *lane) *readyQueue {
	if l.queue[0].failed {
		return &d.suspects
	}
	return &d.ready
}

// slots returns how many more calls may start now from the queue ready: none during the pause or when as many
// bytes are in flight as may be, one at a time while probing, else what conc allows besides slow calls, and no more than
// conc.max together with the calls of suspects. A result of 0 or below is none.
func (d *destination) slots(now time.Time) int {
	if now.Before(d.pausedUntil) || d.sending.full() {
		return 0
	}
	if d.probing {
		return 1 - len(d.inFlight)
	}
	slow, _ := d.conc.slow(d.inFlight, now)
	return min(d.conc.allowed()+slow, int(d.conc.max)-len(d.suspectsInFlight)) - len(d.inFlight)
}

// suspectSlots returns how many more calls may start now from the queue suspects: none until suspectsUntil, or when half
// of the bytes that may be are in flight; while probing one, if no other lane is ready or in flight; else up to
// suspectCalls besides slow calls, or half of conc.max, and no more than conc.max together with the other calls. A result
// of 0 or below is none.
func (d *destination) suspectSlots(now time.Time) int {
	if now.Before(d.suspectsUntil) || d.sending.half() {
		return 0
	}
	if d.probing {
		if len(d.inFlight) > 0 || d.ready.peek() != nil {
			return 0
		}
		return 1 - len(d.suspectsInFlight)
	}
	most := int(d.conc.max)
	slow, _ := d.conc.slow(d.suspectsInFlight, now)
	return min(suspectCalls+slow, max(1, most/2), most-len(d.inFlight)) - len(d.suspectsInFlight)
}

// started counts the call of a batch as in flight, and ended does not count it any more.
func (d *destination) started(b *batch) {
	in := d.calls(b)
	*in = append(*in, b.began)
	for _, it := range b.items {
		b.bytes += it.msg.Size
	}
	d.sending.add(b.bytes)
}

func (d *destination) ended(b *batch) {
	d.calls(b).end(b.began)
	d.sending.add(-b.bytes)
}

// calls returns the calls in flight that the batch belongs to.
func (d *destination) calls(b *batch) *calls {
	if b.suspects {
		return &d.suspectsInFlight
	}
	return &d.inFlight
}

// wake calls sooner with each time after now at which a call may start that may not start now, if no answer comes
// before: the end of a pause, the time at which the batch that lingers goes, and when one more call in flight is slow.
func (d *destination) wake(now time.Time, sooner func(time.Time)) {
	if now.Before(d.pausedUntil) {
		sooner(d.pausedUntil)
	} else if !d.partialAt.IsZero() && d.slots(now) > 0 {
		sooner(d.partialAt)
	}
	if now.Before(d.suspectsUntil) && d.suspects.peek() != nil {
		sooner(d.suspectsUntil)
	}
	for _, q := range []struct {
		ready *readyQueue
		calls calls
	}{{&d.ready, d.inFlight}, {&d.suspects, d.suspectsInFlight}} {
		if _, slow := d.conc.slow(q.calls, now); now.Before(slow) && q.ready.peek() != nil {
			sooner(slow)
		}
	}
}

// lingers says whether the next batch is to wait because it is not full: calls in flight will soon make lanes
// ready that can go with it. If batches never waited, small ones would stay small, as the lanes of a batch become
// ready together. lingers sets partialAt when the wait begins and clears it when the batch is to go. Without a
// call in flight a batch goes at once.
func (d *destination) lingers(now time.Time) bool {
	if d.linger > 0 && len(d.inFlight) > 0 && d.ready.peek() != nil && !d.fills() {
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

// pack takes the first items of the lanes in q, one of each lane, in the order of the lanes, up to the first that does
// not fit into the batch; the first is taken whatever its size, and one that is to go alone fits with no other. Items
// that can never be sent are returned apart, as faulty, and take no room. The lanes of all these items leave q and are
// sending then.
func (d *destination) pack(q *readyQueue) (batch, faulty []*item) {
	size := 0
	for len(batch) < d.limits.Entries && (len(batch) == 0 || !batch[0].alone) {
		l := q.peek()
		if l == nil {
			break
		}
		it := l.queue[0]
		if it.fault != nil {
			q.pop()
			faulty = append(faulty, it)
			continue
		}
		if len(batch) > 0 && (it.alone || size+it.msg.Size > d.limits.BatchBytes) {
			break
		}
		q.pop()
		size += it.msg.Size
		batch = append(batch, it)
	}
	return batch, faulty
}
