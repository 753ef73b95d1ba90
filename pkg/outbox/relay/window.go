package relay

import "github.com/serverless-outbox/serverless-outbox/pkg/outbox"

// window is all the buffered events and the lanes they are in.
type window struct {
	items map[int64]*item
	lanes map[outbox.Lane]*lane
	// bytes is the size of the buffered events' messages.
	bytes int
	// busy counts, by shard, the items in flight or unsettled.
	busy [outbox.Shards]int
	// watch, for tests, is that of every lane.
	watch func(from, to laneState)
}

func newWindow(watch func(from, to laneState)) window {
	return window{items: map[int64]*item{}, lanes: map[outbox.Lane]*lane{}, watch: watch}
}

// lane returns the lane of the key, made if need be.
func (w *window) lane(key outbox.Lane, shard int, d *destination) *lane {
	l := w.lanes[key]
	if l == nil {
		l = &lane{key: key, shard: shard, dest: d, heapIndex: -1, watch: w.watch}
		w.lanes[key] = l
	}
	return l
}

// add takes an item in and queues it.
func (w *window) add(it *item, l *lane) {
	it.lane = l
	w.items[it.rec.ID] = it
	w.bytes += it.msg.Size
	l.dest.buffered++
	l.dest.bufferedBytes += it.msg.Size
	l.insert(it)
}

// remove forgets an item, which must be out of its lane's queue.
func (w *window) remove(it *item) {
	delete(w.items, it.rec.ID)
	w.bytes -= it.msg.Size
	it.lane.dest.buffered--
	it.lane.dest.bufferedBytes -= it.msg.Size
}

// send notes that a queued item is in flight now.
func (w *window) send(it *item) {
	it.state, it.tried = inFlight, true
	w.busy[it.lane.shard]++
}

// requeue notes that an item in flight waits for being sent again.
func (w *window) requeue(it *item) {
	it.state = queued
	w.busy[it.lane.shard]--
}

// accept takes an item in flight, which its destination accepted, from the queue
// of its lane.
func (w *window) accept(it *item) {
	it.state = unsettled
	it.lane.pop()
}

// giveUp takes a queued item, which is the first of its lane, from the queue.
func (w *window) giveUp(it *item) {
	it.state = unsettled
	w.busy[it.lane.shard]++
	it.lane.pop()
}

// settled notes that the settlement of an item is written. The item stays
// buffered until remove.
func (w *window) settled(it *item) { w.busy[it.lane.shard]-- }

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

// forget deletes a lane that has nothing left to remember.
func (w *window) forget(l *lane) {
	if len(l.queue) == 0 && l.deferred.idle() && l.state == resting {
		delete(w.lanes, l.key)
	}
}

// lowest returns the lowest id of the buffered events, noID without any.
func (w *window) lowest() int64 {
	low := int64(noID)
	for id := range w.items {
		low = min(low, id)
	}
	return low
}
