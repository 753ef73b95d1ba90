package relay

import (
	"container/heap"
	"time"

	"github.com/serverless-outbox/serverless-outbox/internal/placed"
)

// readyQueue is a queue of lanes, first in first out. A lane that is no longer ready, because its shard drains,
// stays in the queue until it is at the front, and is passed over there.
type readyQueue struct {
	lanes []*lane
	head  int
}

// push makes a lane ready and puts it at the end of the queue.
func (q *readyQueue) push(l *lane) {
	l.become(ready)
	q.lanes = append(q.lanes, l)
}

// peek returns the first lane that is ready, nil when there is none. It removes the lanes before it, which are
// no longer ready.
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

// pop removes the lane that peek has just returned, and makes it sending.
func (q *readyQueue) pop() {
	q.lanes[q.head].become(sending)
	q.skip()
}

// skip removes the first lane. Now and then it moves the others to the front of the slice, to use its room again.
func (q *readyQueue) skip() {
	q.lanes[q.head] = nil
	q.head++
	if q.head > 1024 && q.head*2 > len(q.lanes) {
		n := copy(q.lanes, q.lanes[q.head:])
		clear(q.lanes[n:])
		q.lanes, q.head = q.lanes[:n], 0
	}
}

// backingOffLanes is a heap of the lanes that back off, the one with the earliest retryAt first.
type backingOffLanes struct{ placed.Heap[*lane] }

// Before says whether the lane's retryAt is earlier: the order of backingOffLanes. It implements [placed.Item].
func (l *lane) Before(other *lane) bool { return l.retryAt.Before(other.retryAt) }

// Place returns the address of heapIndex, which the heap keeps up to date. It implements [placed.Item].
func (l *lane) Place() *int { return &l.heapIndex }

// add puts the lane in, with t as its retryAt, and makes it backing off.
func (w *backingOffLanes) add(l *lane, t time.Time) {
	l.retryAt = t
	l.become(backingOff)
	heap.Push(w, l)
}

// remove takes a lane out of the heap, if it is in there. The state of the lane does not change.
func (w *backingOffLanes) remove(l *lane) {
	if l.heapIndex >= 0 {
		heap.Remove(w, l.heapIndex)
	}
}

// due removes and returns the lane with the earliest retryAt, if that has come; otherwise it returns nil. The state
// of the lane does not change.
func (w *backingOffLanes) due(now time.Time) *lane {
	if len(w.Heap) == 0 || now.Before(w.Heap[0].retryAt) {
		return nil
	}
	return w.Take()
}

// backoff returns how long to wait after the n-th failure in a row (n from 1). The bound is lo, 2 lo, 4 lo … up
// to hi; the result is between half of the bound and the bound: half plus the share spread (0 to 1, random) of
// the other half, so that many lanes do not come back at once.
func backoff(n int, lo, hi time.Duration, spread float64) time.Duration {
	d := hi
	if shift := n - 1; shift < 30 && lo<<shift < hi {
		d = lo << shift
	}
	return d/2 + time.Duration(spread*float64(d/2))
}
