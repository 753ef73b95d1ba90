package relay

import (
	"slices"
	"time"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

// takeIn admits what was read, and says whether the gaps are to be read on
// first: f is then the next page of them.
//
// Rows found in gaps come first: they were visible at least as early as what
// the scans found, and have lower ids. So the scans wait until all gaps were
// read, in as many pages as that takes: where gaps were joined most of their
// rows are known. When the new rows among them are more than one fetch may
// bring, reading goes back to where they end, so that everything above is read
// again in order. It also goes back to before a new row on a later page, as one
// that precedes it may have committed since the first page was read.
func (l *loop) takeIn(f *plannedFetch, got Fetched, p prepared, now time.Time) (more bool) {
	r := &l.reader
	for _, id := range got.Seen {
		r.gaps.seen(id)
	}
	for _, h := range got.Held {
		// An operator has released the lane, and we have not been told: what the
		// scans read before that may not overtake this row. The resumed lane is
		// read from its beginning; a search of it that is under way may have
		// missed the row.
		if d := l.dests[h.Lane.Destination]; d != nil && l.lease.works(h.Shard) {
			lane := l.window.lane(h.Lane, h.Shard, d)
			lane.bound = min(lane.bound, h.ID-1)
			l.window.leave(lane, h.ID)
		}
	}
	for _, it := range p.gaps {
		if f.first != nil && !l.comesAnyway(it.rec.ID, it.rec.Shard, it.rec.Lane()) {
			l.rewind(it.rec.ID - 1)
			r.nextFetch = now
			return false
		}
		r.gaps.seen(it.rec.ID)
		if l.admit(it, fromGap); it.lane != nil {
			l.stats.now.Late++
			f.late++
			continue
		}
		f.refused = append(f.refused, refusal{id: it.rec.ID, shard: it.rec.Shard, lane: it.rec.Lane()})
	}
	if got.GapsThrough != 0 {
		if f.late < f.GapLimit {
			f.nextPage(got, p)
			return true
		}
		l.rewind(got.GapsThrough)
		r.nextFetch = now
		return false
	}
	if f.first != nil {
		got, p = f.first.got, f.first.p
	}
	if f.Writers {
		r.gaps.ended(got.Writers)
	}
	found := f.late
	fresh := &cohort{}
	full := false
	for i, scan := range f.Scans {
		n := len(got.Scans[i])
		full = full || n == scan.Limit
		found += l.takeScan(*f, i, got.Scans[i], p.scans[i], fresh)
	}
	for i, b := range f.backfills {
		if b.sweep {
			found += l.takeSweep(got.Backfills[i].Next, p.backfills[i], f.began, now)
			continue
		}
		found += len(p.backfills[i])
		full = full || got.Backfills[i].Next != 0
		l.takeBackfill(b, f.Backfills[i].From, got.Backfills[i].Next, p.backfills[i])
	}
	for _, x := range f.refused {
		l.bringBack(x)
	}
	l.paceNext(p, found, full, now)
	return false
}

// bringBack has a row read again that was found in a gap and left to a backfill
// or a catch-up. The gaps were read after those: one that has ended without the
// row does not bring it any more.
func (l *loop) bringBack(x refusal) {
	if !l.comesAnyway(x.id, x.shard, x.lane) {
		l.window.leave(l.window.lane(x.lane, x.shard, l.dests[x.lane.Destination]), x.id)
	}
}

// comesAnyway says whether a row is known, or comes with a catch-up or a
// backfill, or not at all.
func (l *loop) comesAnyway(id int64, shard int, key outbox.Lane) bool {
	d, lane := l.dests[key.Destination], l.window.lanes[key]
	_, known := l.window.items[id]
	return known || d == nil || !l.lease.works(shard) || l.reader.catchingUp(shard, id) ||
		d.from != 0 && id >= d.from || lane != nil && lane.from != 0 && id >= lane.from
}

// takeScan admits the rows of one scan, notes the ids that are missing between
// them, and returns how many rows there were.
func (l *loop) takeScan(f plannedFetch, i int, rows []Row, items []*item, fresh *cohort) int {
	r := &l.reader
	scan := f.Scans[i]
	if i == 0 {
		last := scan.After
		for j, row := range rows {
			r.gaps.add(last+1, row.ID-1, fresh)
			last = row.ID
			if items[j] != nil {
				l.admit(items[j], fromScan)
			}
		}
		r.head = max(r.head, last)
		return len(rows)
	}
	c := f.catchUps[i-1]
	if !slices.Contains(r.catchUps, c) {
		return 0 // given back meanwhile
	}
	last := scan.After
	for j, row := range rows {
		r.gaps.add(last+1, min(row.ID-1, r.head), fresh)
		last = row.ID
		if last > r.head {
			break // the main scan brings it: nothing may read ahead of that
		}
		if items[j] != nil && slices.Contains(c.shards, items[j].rec.Shard) {
			l.admit(items[j], fromCatchUp)
		}
	}
	if len(rows) < scan.Limit || last >= r.head {
		r.gaps.add(last+1, r.head, fresh)
		r.catchUps = slices.DeleteFunc(r.catchUps, func(x *catchUp) bool { return x == c })
		return len(rows)
	}
	c.after = last
	return len(rows)
}

// takeBackfill admits what a lane or a destination had left in the table. When
// nothing more is left, later rows come with later scans.
//
// What lies above head comes with scans as well: a backfill that read ahead of
// them would overtake rows that commit in between.
func (l *loop) takeBackfill(b backfillOf, from, next int64, items []*item) {
	head := l.reader.head
	bounded := !b.search
	if bounded && next > head {
		next = 0
	}
	if above := slices.IndexFunc(items, func(it *item) bool { return it.rec.ID > head }); bounded && above >= 0 {
		items, next = items[:above], 0
	}
	if b.lane == nil {
		if b.dest.from != from {
			return // moved meanwhile
		}
		b.dest.from = next
		for _, it := range items {
			l.admit(it, fromDestination)
		}
		return
	}
	lane := b.lane
	if l.window.lanes[lane.key] != lane || lane.from != from || lane.search != b.search {
		return // given back, or moved meanwhile
	}
	if lane.search {
		l.searched(lane, next, items)
		return
	}
	if lane.from = next; next == 0 {
		l.window.complete(lane)
	}
	for _, it := range items {
		l.admit(it, fromLane)
		if l.redriven(it) {
			break // what follows it waits with it
		}
	}
	l.window.forget(lane)
}

// searched takes in where a lane to be resumed begins. Nothing of it is read
// before its hold is deleted: late rows that a hold hides would be overtaken.
func (l *loop) searched(lane *lane, next int64, items []*item) {
	switch {
	case len(items) > 0:
		lane.from = min(items[0].rec.ID, lane.bound+1)
	case next != 0:
		lane.from = next
		return
	default:
		lane.from = lane.bound + 1
	}
	lane.search = false
	l.lease.resumed[lane.key] = lane.release
	l.lease.renewAt = time.Now()
}

// rewind goes back to reading everything above id, in order: nothing that reads
// on from a higher id may overtake the rows in between.
func (l *loop) rewind(id int64) {
	r := &l.reader
	for _, c := range r.catchUps {
		c.after = min(c.after, id)
	}
	for _, d := range l.dests {
		d.from = min(d.from, id+1)
	}
	for lane := range l.window.left {
		lane.from = min(lane.from, id+1)
		lane.bound = min(lane.bound, id)
	}
	r.head = min(r.head, id)
	r.gaps = gaps{list: slices.DeleteFunc(r.gaps.list, func(g gap) bool { return g.From > id })}
	if n := len(r.gaps.list); n > 0 {
		r.gaps.list[n-1].To = min(r.gaps.list[n-1].To, id)
	}
}
