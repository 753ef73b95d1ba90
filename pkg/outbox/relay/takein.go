package relay

import (
	"slices"
	"time"
)

// takeIn admits what was read. Rows found in gaps come first: they were visible
// at least as early as what the scans found, and have lower ids. When there are
// more of them than one fetch may bring, reading goes back to where they end,
// so that everything above is read again in order. A row on hold is seen
// without its record: while a hold is about to go, its id stays a gap, so that
// it is looked at again.
func (l *loop) takeIn(f plannedFetch, got Fetched, p prepared, now time.Time) {
	r := &l.reader
	frozen := f.resuming || l.window.resuming()
	if !frozen {
		for _, id := range got.Seen {
			r.gaps.seen(id)
		}
	}
	for _, it := range p.gaps {
		l.stats.now.Late++
		r.gaps.seen(it.rec.ID)
		l.admit(it, fromGap)
	}
	if got.GapsThrough != 0 {
		l.rewind(got.GapsThrough)
		r.nextFetch = now
		return
	}
	if f.Writers && !frozen {
		r.gaps.ended(got.Writers)
	}
	found := len(p.gaps)
	fresh := &cohort{}
	full := false
	for i, scan := range f.Scans {
		n := len(got.Scans[i])
		full = full || n == scan.Limit
		found += l.takeScan(f, i, got.Scans[i], p.scans[i], fresh)
	}
	for i, b := range f.backfills {
		if b.sweep {
			found += l.takeSweep(got.Backfills[i].Next, p.backfills[i], now)
			continue
		}
		found += len(p.backfills[i])
		full = full || got.Backfills[i].Next != 0
		l.takeBackfill(b, f.Backfills[i].From, got.Backfills[i].Next, p.backfills[i])
	}
	// The gaps were read after the backfills. A row that was left for one of
	// them, which has ended without it, is not coming back by itself.
	for _, it := range p.gaps {
		l.admit(it, fromGap)
	}
	l.paceNext(p, found, full, now)
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
	bounded := b.lane == nil || !b.lane.search
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
	if l.window.lanes[lane.key] != lane || lane.from != from {
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
	}
	l.window.forget(lane)
}

// searched takes in where a lane to be resumed begins. Nothing of it is read
// before its hold is deleted: late rows that a hold hides would be overtaken.
func (l *loop) searched(lane *lane, next int64, items []*item) {
	switch {
	case len(items) > 0:
		// Scans pass over what the hold hides, so all above head is left as well.
		lane.from = min(items[0].rec.ID, l.reader.head+1)
	case next != 0:
		lane.from = next
		return
	default:
		lane.from = l.reader.head + 1
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
	}
	r.head = min(r.head, id)
	r.gaps = gaps{list: slices.DeleteFunc(r.gaps.list, func(g gap) bool { return g.From > id })}
	if n := len(r.gaps.list); n > 0 {
		r.gaps.list[n-1].To = min(r.gaps.list[n-1].To, id)
	}
}
