package relay

import (
	"cmp"
	"slices"
	"time"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

// item is an event in memory, from its reading until its settling is known.
type item struct {
	rec *outbox.Record
	msg outbox.Message
	// fault is why the event can never be sent, found before sending.
	fault error
	lane  *lane
	state itemState
	// tried is set once it was sent: it stays the first of its lane from then on.
	tried bool
	// attempts counts the transient failures of this event alone.
	attempts int
	// blocks is set when the event is dead and its lane is held for it.
	blocks bool
}

type itemState int

const (
	queued itemState = iota
	inFlight
	// unsettled: accepted or dead, and not known to be written yet.
	unsettled
)

// lane is the queue of one aggregate at one destination. At most its first item
// is in flight.
type lane struct {
	key   outbox.Lane
	shard int
	dest  *destination
	state laneState
	// queue holds the items not yet accepted, in order of id.
	queue []*item
	// from is not 0 when rows of the lane with this id or a higher one were
	// left in the table. Backfills bring them back in order.
	from int64
	// resume is set while the hold that an operator ended is still in the
	// table: until it is deleted, scans do not show the rows of the lane.
	resume bool
	// search is set until the lowest row of a resumed lane is known.
	search bool
	// bound is how far reading was when the search began, or below the lowest row
	// that was found in a gap meanwhile. What commits above it behind the search
	// is hidden from scans, so all above is left as well.
	bound int64
	// release is what is being resumed.
	release ReleasedLane
	// failures in a row, of whatever cause.
	failures int
	retryAt  time.Time
	// heapIndex is the place among the waiting lanes.
	heapIndex int
}

type laneState int

const (
	// resting: nothing to send, or not allowed to (blocked, or its shard is
	// being handed over).
	resting laneState = iota
	// ready: in the destination's queue of ready lanes.
	ready
	// sending: the first item is in flight.
	sending
	// waiting: until retryAt.
	waiting
	// burying: an event died, and that is not known to be written. Were the next
	// one sent, and this relay lost, another would send the dead one after it.
	burying
	// blocked: an event died and the policy is to hold the lane.
	blocked
)

// insert puts it into the queue by id.
func (l *lane) insert(it *item) {
	n := len(l.queue)
	if n == 0 || l.queue[n-1].rec.ID < it.rec.ID {
		l.queue = append(l.queue, it)
		return
	}
	// Rows that became visible after the first was sent stand behind it, in
	// order among themselves.
	first := 0
	if l.queue[0].tried {
		first = 1
	}
	at, _ := slices.BinarySearchFunc(l.queue[first:], it.rec.ID, func(q *item, id int64) int { return cmp.Compare(q.rec.ID, id) })
	at += first
	l.queue = slices.Insert(l.queue, at, it)
}

// first returns the lowest id of the lane that was not sent, 0 when nothing of
// it is known to wait.
func (l *lane) first() int64 {
	first := l.from
	for _, it := range l.queue {
		if first == 0 || it.rec.ID < first {
			first = it.rec.ID
		}
	}
	return first
}

// pop removes the first item.
func (l *lane) pop() {
	l.queue[0] = nil
	l.queue = l.queue[1:]
}

// window is all the events in memory and the lanes they are in.
type window struct {
	items map[int64]*item
	lanes map[outbox.Lane]*lane
	// left are the lanes that left rows in the table.
	left  map[*lane]struct{}
	bytes int
	// busy counts, by shard, the items in flight or unsettled.
	busy [outbox.Shards]int
}

func newWindow() window {
	return window{items: map[int64]*item{}, lanes: map[outbox.Lane]*lane{}, left: map[*lane]struct{}{}}
}

// lane returns the lane of the key, made if need be.
func (w *window) lane(key outbox.Lane, shard int, d *destination) *lane {
	l := w.lanes[key]
	if l == nil {
		l = &lane{key: key, shard: shard, dest: d, heapIndex: -1}
		w.lanes[key] = l
	}
	return l
}

// add takes an item in and queues it.
func (w *window) add(it *item, l *lane) {
	it.lane = l
	w.items[it.rec.ID] = it
	w.bytes += it.msg.Size
	l.dest.held++
	l.dest.heldBytes += it.msg.Size
	l.insert(it)
}

// remove forgets an item, which must be out of its lane's queue.
func (w *window) remove(it *item) {
	delete(w.items, it.rec.ID)
	w.bytes -= it.msg.Size
	it.lane.dest.held--
	it.lane.dest.heldBytes -= it.msg.Size
}

// drop forgets the items of a lane that are not in flight.
func (w *window) drop(l *lane) {
	keep := l.queue[:0]
	for _, it := range l.queue {
		if it.state == queued {
			w.remove(it)
			continue
		}
		keep = append(keep, it)
	}
	clear(l.queue[len(keep):])
	l.queue = keep
}

// leave leaves the rows of a lane from id on in the table.
func (w *window) leave(l *lane, id int64) {
	if l.from == 0 || id < l.from {
		l.from = id
	}
	w.left[l] = struct{}{}
}

// complete notes that nothing of a lane is left in the table.
func (w *window) complete(l *lane) {
	l.from = 0
	delete(w.left, l)
}

// forget deletes a lane that has nothing left to remember.
func (w *window) forget(l *lane) {
	if len(l.queue) == 0 && l.from == 0 && !l.resume && l.state == resting {
		delete(w.lanes, l.key)
	}
}

// lowest returns the lowest id that is not settled, in memory or left in the
// table by a lane, or ceiling when there is none below it.
func (w *window) lowest(ceiling int64) int64 {
	low := ceiling
	for id := range w.items {
		low = min(low, id)
	}
	for l := range w.left {
		// While a lane is searched its hold is in the table, and whoever comes
		// next searches again.
		if !l.search {
			low = min(low, l.from)
		}
	}
	return low
}
