package relay

import (
	"fmt"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

// prepared is what a fetch found, made ready to send beside the loop.
type prepared struct {
	scans     [][]*item // nil where a row has no record for us
	backfills [][]*item
	gaps      []*item
	rows      int
	bytes     int
}

func prepare(got Fetched) prepared {
	p := prepared{scans: make([][]*item, len(got.Scans)), backfills: make([][]*item, len(got.Backfills))}
	for i, rows := range got.Scans {
		p.scans[i] = make([]*item, len(rows))
		for j := range rows {
			if rows[j].Record != nil {
				p.scans[i][j] = p.item(rows[j].Record)
			}
		}
	}
	for i := range got.Backfills {
		p.backfills[i] = p.items(got.Backfills[i].Records)
	}
	p.gaps = p.items(got.Gaps)
	return p
}

func (p *prepared) items(recs []outbox.Record) []*item {
	out := make([]*item, len(recs))
	for i := range recs {
		out[i] = p.item(&recs[i])
	}
	return out
}

func (p *prepared) item(rec *outbox.Record) *item {
	it := &item{rec: rec}
	it.msg, it.fault = outbox.Encode(rec)
	if it.fault != nil {
		it.msg.Size = len(rec.Payload)
	}
	rec.Payload = nil // the message has a copy of it
	p.rows++
	p.bytes += it.msg.Size
	return it
}

// source is where a row came from. Rows that were left in the table on purpose
// come back only by the backfill that is for them.
type source int

const (
	fromScan source = iota
	fromGap
	fromCatchUp
	fromDestination
	fromLane
	fromSweep
)

// admit takes an event into memory, unless it is known, not ours, or has to
// stay in the table for now.
func (l *loop) admit(it *item, src source) {
	rec := it.rec
	if !l.lease.works(rec.Shard) {
		return
	}
	if _, known := l.window.items[rec.ID]; known {
		if l.redriven(it) {
			l.window.leave(l.window.lane(rec.Lane(), rec.Shard, l.dests[rec.Destination]), rec.ID)
		}
		return
	}
	if src != fromCatchUp && src != fromLane && l.reader.catchingUp(rec.Shard, rec.ID) {
		return
	}
	d := l.dests[rec.Destination]
	if d == nil {
		l.unknownDestination(rec)
		return
	}
	lane := l.window.lane(rec.Lane(), rec.Shard, d)
	switch {
	case lane.state == blocked:
		// Until the hold is known to be in the table the position has to allow
		// for the row.
		l.window.leave(lane, rec.ID)
		return
	case src != fromLane && lane.from != 0 && rec.ID >= lane.from:
		return
	case src != fromLane && src != fromDestination && d.from != 0 && rec.ID >= d.from:
		l.window.forget(lane)
		return
	case src == fromGap:
		// A row that committed late goes before those that follow it, so it is
		// taken in even where there is no room. Fetch.GapLimit bounds them.
	case len(lane.queue) >= l.cfg.LaneWindow, src == fromLane && (d.full() || l.overfull()):
		l.window.leave(lane, rec.ID)
		return
	case d.full() || l.overfull():
		d.leave(rec.ID)
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

// overfull says that the window holds a whole fetch more than it should. What a
// fetch may bring is bounded by the room there is, but each of its parts by
// itself, and late rows may have taken a destination's share and more.
func (l *loop) overfull() bool { return len(l.window.items) >= l.cfg.Window+l.cfg.FetchLimit }

// redriven says whether an event was put back while it is still in memory as
// dead, since the answer to its settlement is not known. It has to be read again
// when that is.
func (l *loop) redriven(it *item) bool {
	old := l.window.items[it.rec.ID]
	return old != nil && old.rec.Replays != it.rec.Replays
}

// tooLargeError is why an event can never be sent to its destination.
type tooLargeError struct{ size, limit int }

func (e tooLargeError) Error() string {
	return fmt.Sprintf("message of %d bytes is above the destination's limit of %d", e.size, e.limit)
}

// Code returns the word for the dead letter.
func (e tooLargeError) Code() string { return "MessageTooLong" }
