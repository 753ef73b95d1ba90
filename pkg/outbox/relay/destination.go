package relay

import (
	"container/heap"
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
	// held and heldBytes are what the window holds for this destination, cap
	// and capBytes its share of the window: a destination that stands still
	// must not fill the memory that the others need.
	held, heldBytes int
	cap, capBytes   int
	// from is not 0 when rows of the destination with this id or a higher one
	// were left in the table.
	from int64

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

// leave leaves the rows from id on in the table.
func (d *destination) leave(id int64) {
	if d.from == 0 || id < d.from {
		d.from = id
	}
}

// full says whether the destination has used up its share of the window.
func (d *destination) full() bool { return d.held >= d.cap || d.heldBytes >= d.capBytes }

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

// readyQueue is a queue of lanes, first in first out. Lanes that are no longer
// ready are passed over when they come to the front.
type readyQueue struct {
	lanes []*lane
	head  int
}

func (q *readyQueue) push(l *lane) {
	l.state = ready
	q.lanes = append(q.lanes, l)
}

// peek returns the first lane, nil when there is none.
func (q *readyQueue) peek() *lane {
	for q.head < len(q.lanes) {
		if l := q.lanes[q.head]; l.state == ready {
			return l
		}
		q.skip()
	}
	q.lanes, q.head = q.lanes[:0], 0
	return nil
}

// pop removes the lane that peek returned.
func (q *readyQueue) pop() {
	q.lanes[q.head].state = sending
	q.skip()
}

func (q *readyQueue) skip() {
	q.lanes[q.head] = nil
	q.head++
	if q.head > 1024 && q.head*2 > len(q.lanes) {
		n := copy(q.lanes, q.lanes[q.head:])
		clear(q.lanes[n:])
		q.lanes, q.head = q.lanes[:n], 0
	}
}

// waitingLanes is a heap of lanes by retryAt.
type waitingLanes []*lane

func (w waitingLanes) Len() int           { return len(w) }
func (w waitingLanes) Less(i, j int) bool { return w[i].retryAt.Before(w[j].retryAt) }
func (w waitingLanes) Swap(i, j int) {
	w[i], w[j] = w[j], w[i]
	w[i].heapIndex, w[j].heapIndex = i, j
}

// Push implements heap.Interface.
func (w *waitingLanes) Push(x any) {
	l, _ := x.(*lane)
	l.heapIndex = len(*w)
	*w = append(*w, l)
}

// Pop implements heap.Interface.
func (w *waitingLanes) Pop() any {
	old := *w
	l := old[len(old)-1]
	old[len(old)-1] = nil
	*w = old[:len(old)-1]
	l.heapIndex = -1
	return l
}

// wait puts the lane on hold until t.
func (w *waitingLanes) wait(l *lane, t time.Time) {
	l.state, l.retryAt = waiting, t
	heap.Push(w, l)
}

// end takes a lane out.
func (w *waitingLanes) end(l *lane) {
	if l.heapIndex >= 0 {
		heap.Remove(w, l.heapIndex)
	}
}

// due returns the next lane whose time has come, taken out, or nil.
func (w *waitingLanes) due(now time.Time) *lane {
	if len(*w) == 0 || now.Before((*w)[0].retryAt) {
		return nil
	}
	l, _ := heap.Pop(w).(*lane)
	return l
}
