package relay

import (
	"github.com/google/uuid"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

// window has all buffered events, and their lanes.
type window struct {
	// items has the buffered events by their identities.
	items map[identity]*item
	// lanes has the lanes that are not forgotten: see forget. A lane whose last events were accepted is forgotten
	// before these events are settled.
	lanes map[outbox.Lane]*lane
	// bytes is the size of the buffered events' messages. An event that was accepted or given up has none any more.
	bytes int
	// busy counts, by shard, the items in flight or unsettled.
	busy [outbox.Shards]int
	// watch becomes the watch of every new lane. It is nil but in tests.
	watch func(was, is laneState)
}

// identity is what tells one event's row from all others: the row id alone may come again, as after a failover that
// lost commits.
type identity struct {
	id    int64
	event uuid.UUID
}

// identityOf returns the identity of a row.
func identityOf(rec *outbox.Record) identity { return identity{rec.ID, rec.EventID} }

// lane returns the lane of the key. If there is none it adds a resting one, of the shard and the destination d.
func (w *window) lane(key outbox.Lane, shard int, d *destination) *lane {
	l := w.lanes[key]
	if l == nil {
		l = &lane{key: key, shard: shard, dest: d, heapIndex: -1, watch: w.watch}
		w.lanes[key] = l
	}
	return l
}

// add buffers an item as queued, in the queue of the lane, and sets its lane. The lane does not change its state.
func (w *window) add(it *item, l *lane) {
	it.lane = l
	w.items[identityOf(it.rec)] = it
	w.bytes += it.msg.Size
	l.dest.events.add(1)
	l.dest.bytes.add(it.msg.Size)
	l.insert(it)
}

// remove takes an item out of the buffered events, and out of the counts of events and bytes. The caller takes it
// out of the queue of its lane.
func (w *window) remove(it *item) {
	delete(w.items, identityOf(it.rec))
	w.freeMessage(it)
	it.lane.dest.events.add(-1)
}

// freeMessage frees the message of an item that is not sent again, and takes it out of the count of bytes. It does
// nothing the second time.
func (w *window) freeMessage(it *item) {
	w.bytes -= it.msg.Size
	it.lane.dest.bytes.add(-it.msg.Size)
	it.msg = outbox.Message{}
}

// send makes a queued item one in flight.
func (w *window) send(it *item) {
	it.state, it.tried = inFlight, true
	w.busy[it.lane.shard]++
}

// requeue makes an item in flight a queued one again. It is still at the first place of its lane's queue.
func (w *window) requeue(it *item) {
	it.state = queued
	w.busy[it.lane.shard]--
}

// accept takes an item in flight, which its destination accepted, off the queue of its lane. It is unsettled
// from then on.
func (w *window) accept(it *item) {
	it.state = unsettled
	w.freeMessage(it)
	it.lane.pop()
}

// giveUp takes a queued item, the first of its lane, off the queue. It is unsettled from then on.
func (w *window) giveUp(it *item) {
	it.state = unsettled
	w.freeMessage(it)
	w.busy[it.lane.shard]++
	it.lane.pop()
}

// settled lowers busy for an item whose settlement is written. The item stays buffered until remove.
func (w *window) settled(it *item) { w.busy[it.lane.shard]-- }

// drop removes the queued items of a lane from the window and from its queue. An item in flight stays.
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

// forget deletes a lane from the window if its state is resting, its queue is empty and nothing of it is deferred
// or being released. Otherwise it does nothing.
func (w *window) forget(l *lane) {
	if len(l.queue) == 0 && l.deferred.idle() && l.state == resting {
		delete(w.lanes, l.key)
	}
}

// lowest returns the lowest id of the buffered events of each destination that has any, by name.
func (w *window) lowest() map[string]int64 {
	low := map[*destination]int64{}
	for of, it := range w.items {
		if first, any := low[it.lane.dest]; !any || of.id < first {
			low[it.lane.dest] = of.id
		}
	}
	names := make(map[string]int64, len(low))
	for d, id := range low {
		names[d.name] = id
	}
	return names
}
