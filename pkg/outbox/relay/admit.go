package relay

import (
	"fmt"
	"log/slog"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

// prepared is the answer to a Fetch and the items of its records, with their messages made. It is made outside of
// the loop's goroutine.
type prepared struct {
	Fetched
	// scans[i][j] is the item of Scans[i][j], nil where that row has no Record. destinations, lanes, sweep and
	// gaps have the items of the Records of Destinations, Lanes, Sweep and Gaps, in the same order.
	scans        [][]*item
	destinations [][]*item
	lanes        [][]*item
	sweep        []*item
	gaps         []*item
	// rows counts all items, bytes is the size of their messages.
	rows  int
	bytes int
	// configured are the relay's destinations by name, whose Encoders make the messages.
	configured map[string]Destination
}

// prepare returns got with the items of all its records, for the configured destinations. It sets payloads and
// headers of the records to nil.
func prepare(got Fetched, configured map[string]Destination) prepared {
	p := prepared{Fetched: got, scans: make([][]*item, len(got.Scans)), configured: configured}
	for i, rows := range got.Scans {
		p.scans[i] = make([]*item, len(rows))
		for j := range rows {
			if rows[j].Record != nil {
				p.scans[i][j] = p.item(rows[j].Record)
			}
		}
	}
	for i := range got.Destinations {
		p.destinations = append(p.destinations, p.items(got.Destinations[i].Records))
	}
	for i := range got.Lanes {
		p.lanes = append(p.lanes, p.items(got.Lanes[i].Records))
	}
	p.sweep = p.items(got.Sweep.Records)
	p.gaps = p.items(got.Gaps.Records)
	return p
}

// items makes the item of each record, and counts them in p.
func (p *prepared) items(recs []outbox.Record) []*item {
	out := make([]*item, len(recs))
	for i := range recs {
		out[i] = p.item(&recs[i])
	}
	return out
}

// item makes the item of a record with its message, counts it in p, sets rec.Era, and sets rec.Payload and rec.Headers to nil.
// When the message cannot be made, item.fault says why, and the size is that of the payload.
func (p *prepared) item(rec *outbox.Record) *item {
	rec.Era = p.Era
	it := &item{rec: rec}
	it.msg, it.fault = p.configured[rec.Destination].Encoder.Encode(rec)
	if it.fault != nil {
		it.msg.Size = len(rec.Payload)
	}
	rec.Payload, rec.Headers = nil, nil // the message has a copy of them
	p.rows++
	p.bytes += it.msg.Size
	return it
}

// source is the kind of read that brought a row. The rows of some kinds are ignored where a row of another kind
// is to come first: see admit.
type source int

const (
	fromScan source = iota
	fromGap
	fromCatchUp
	fromDestination
	fromLane
	fromSweep
)

// admit buffers the event of an item, which the read src brought, sets it.lane, and makes a resting lane ready.
// It buffers nothing, and leaves it.lane nil, when the event is buffered already, is not of a shard or a
// destination that this relay works on, is to come with another read, is of a blocked lane, or has no room. In the
// last two cases, and when the buffered event was redriven since, admit defers the row.
func (l *loop) admit(it *item, src source) {
	rec := it.rec
	if !l.lease.works(rec.Shard) {
		return
	}
	if _, buffered := l.window.items[identityOf(rec)]; buffered {
		if l.redriven(it) {
			l.cursor.deferLane(l.window.lane(rec.Lane(), rec.Shard, l.dests[rec.Destination]), rec.ID)
		}
		return
	}
	if src != fromCatchUp && src != fromLane && l.cursor.catchingUp(rec.Shard, rec.ID) {
		return
	}
	d := l.dests[rec.Destination]
	if d == nil {
		l.unknownDestination(rec.Destination, rec.ID, 1)
		return
	}
	lane := l.window.lane(rec.Lane(), rec.Shard, d)
	switch {
	case lane.state == blocked:
		// Until the lane is known to be blocked in the table, the position has to allow for the row.
		l.cursor.deferLane(lane, rec.ID)
		return
	case src != fromLane && lane.deferred.covers(rec.ID):
		return
	case src != fromLane && src != fromDestination && d.deferred.covers(rec.ID):
		l.window.forget(lane)
		return
	case src == fromGap:
		// A row that committed late goes before those that follow it, so it is
		// buffered even where there is no room. Fetch.GapLimit bounds them.
	case len(lane.queue) >= l.cfg.LaneWindow, src == fromLane && (d.full() || l.overfull()):
		l.cursor.deferLane(lane, rec.ID)
		return
	case d.full() || l.overfull():
		d.deferred.add(rec.ID)
		l.window.forget(lane)
		return
	}
	l.stats.now.Fetched++
	if it.fault == nil && it.msg.Size > d.limits.MessageBytes {
		it.fault = tooLargeError{size: it.msg.Size, limit: d.limits.MessageBytes}
	}
	l.window.add(it, lane)
	if lane.state == resting {
		d.ready.push(lane)
	}
}

// overfull says whether at least Config.FetchLimit more events than Config.Window are buffered. That can be:
// each read of a fetch is bounded by the room there is, but not all of them together, and late rows are
// buffered without room.
func (l *loop) overfull() bool { return len(l.window.items) >= l.cfg.Window+l.cfg.FetchLimit }

// redriven says whether the item's event is already buffered with another number of replays, from an earlier
// reading. Then the buffered event was given up, buried and put back by a redrive, while the answer to its
// settlement is still awaited. The row is to be read again after that answer.
func (l *loop) redriven(it *item) bool {
	old := l.window.items[identityOf(it.rec)]
	return old != nil && old.rec.Replays != it.rec.Replays
}

// unknownDestination counts events of a destination with the name that is not configured, of which first is the lowest
// id, and logs them if they are the first of the destination, for at most maxWarned destinations. They stay in the
// table. The position does not allow for them: no entry of Position.Lows says that their destination was read.
func (l *loop) unknownDestination(name string, first int64, events int) {
	l.stats.now.NoDestination += int64(events)
	if !l.warned[name] && len(l.warned) < maxWarned {
		l.warned[name] = true
		l.log.Error("events wait for a destination that is not configured: add it to the relay's destinations",
			slog.String("destination", name), slog.Int64("first_id", first))
	}
}

// maxWarned is the most unknown destinations that are logged, once each. The number is bounded because the
// names come from the writers.
const maxWarned = 100

// tooLargeError is the fault of an event whose message has size bytes where its destination takes limit at most.
type tooLargeError struct{ size, limit int }

// Error returns a text with both numbers of bytes.
func (e tooLargeError) Error() string {
	return fmt.Sprintf("message of %d bytes is above the destination's limit of %d", e.size, e.limit)
}

// Code returns the code that the event's dead letter gets.
func (e tooLargeError) Code() string { return "MessageTooLong" }
