package relay

import (
	"log/slog"
	"slices"
	"time"
)

// takeIn takes in p, the answer to f.page. It returns true when gaps are to be read first: f.page is then the next page
// of them, and the rest of the answer waits in f.first.
//
// Rows found in gaps are admitted before those of the scans, which have higher ids. So the scans wait until all
// gaps were read that may have new rows, in as many pages as that takes; in gaps that were joined most rows are known.
// Reading goes back, with cursor.goBack, and the rest of the answer is thrown away, in three cases: to before the gaps
// to read when they have too many ids, to the end of a page when the new rows in gaps reach GapLimit, and to before a
// new row on a later page, as a row below it may have committed since the first page was read (rows that are deferred, as
// takeGaps says, need no such care).
func (l *loop) takeIn(f *plannedFetch, p prepared, now time.Time) (more bool) {
	var ok bool
	if f.wide && f.first == nil {
		more, ok = l.lookAtDue(f, p)
	} else {
		more, ok = l.takeGaps(f, p.Gaps, p.gaps)
	}
	switch {
	case !ok:
		l.fetcher.next = now
		return false
	case more:
		f.nextPage(p)
		return true
	case f.first != nil:
		p = *f.first
	}
	if f.Writers && !f.wide {
		l.cursor.gaps.note(p.Writers)
	}
	if f.Writers {
		l.cursor.gaps.looked()
	}
	found := f.late
	full := false
	discovered := &discovery{}
	for i, scan := range f.Scans {
		found += len(p.Scans[i])
		full = full || p.more(i, scan.Limit)
		l.takeScan(f, i, p.Scans[i], p.scans[i], p.more(i, scan.Limit), discovered)
	}
	for i, d := range f.destinations {
		found += len(p.destinations[i])
		full = full || p.Destinations[i].Next != 0
		l.takeDestination(d, f.Destinations[i].From, p.Destinations[i].Next, p.destinations[i])
		d.deferred.pace(now.Sub(f.began))
	}
	for i, lane := range f.searches {
		if p.Searches[i].First != 0 {
			found++
		}
		full = full || p.Searches[i].Next != 0
		if l.knows(lane) && l.cursor.searched(lane, f.Searches[i].From, p.Searches[i]) {
			l.lease.renewAt = now
		}
	}
	for i, lane := range f.lanes {
		found += len(p.lanes[i])
		full = full || p.Lanes[i].Next != 0
		l.takeLane(lane, f.Lanes[i].From, p.Lanes[i].Next, p.lanes[i])
		lane.deferred.pace(now.Sub(f.began))
	}
	if f.Sweep != nil {
		l.cursor.sweep.swept(f.Sweep, p.Sweep.Next, l.cursor.head, now.Sub(f.began), now)
		for _, d := range p.Unknown {
			l.unknownDestination(d.Name, d.FirstID, d.Events)
		}
		found += l.takeStrays(f.Sweep, p.sweep)
	}
	for _, x := range f.refused {
		l.bringBack(x)
	}
	l.paceNext(p, found, full, f.began, now)
	return false
}

// lookAtDue takes in the transactions that p, the answer to f, names as open, and sets f.Gaps to the gaps of which a
// writer has ended. It returns more when these are to be read, and ok false when they have so many ids that reading has
// gone back to before them instead.
func (l *loop) lookAtDue(f *plannedFetch, p prepared) (more, ok bool) {
	l.cursor.gaps.note(p.Writers)
	due, ids := l.cursor.gaps.due()
	if ids > lookGaps*l.cfg.gapIDs {
		l.cursor.goBack(due[0].From - 1)
		l.cursor.gaps.looked()
		return false, false
	}
	f.Gaps = due
	return len(due) > 0, true
}

// takeGaps admits items, the rows of got, which is a page of the gaps of f, notes those of blocked lanes as deferred,
// and takes all ids found out of the gaps. It returns more when there is another page, and ok false when reading has
// gone back: then nothing else of the fetch may be taken in. The rows that admit did not buffer are added to f.refused.
//
// Where only the gaps of which a writer has ended are read, a row of them may have committed since the open transactions
// were asked for, and after one in a gap that is not read. So these rows are not admitted but deferred: the next
// fetch reads them again, and before it takes them in, the gaps of each writer that has ended by then.
func (l *loop) takeGaps(f *plannedFetch, got GapRows, items []*item) (more, ok bool) {
	for _, id := range got.IDs {
		l.cursor.gaps.seen(id)
	}
	for _, row := range got.Blocked {
		if d := l.dests[row.Lane.Destination]; d != nil && l.lease.works(row.Shard) {
			l.cursor.deferBlocked(l.window.lane(row.Lane, row.Shard, d), row.ID)
		}
	}
	later := f.gapPages > 0
	f.gapPages++
	for _, it := range items {
		x := refusal{identity: identityOf(it.rec), shard: it.rec.Shard, lane: it.rec.Lane()}
		if f.wide {
			l.deferLate(f, x)
			continue
		}
		if later && !l.comesAnyway(x) {
			l.cursor.goBack(x.id - 1)
			return false, false
		}
		l.cursor.gaps.seen(x.id)
		if l.admit(it, fromGap); it.lane == nil {
			f.refused = append(f.refused, x)
			continue
		}
		l.stats.now.Late++
		f.late++
	}
	if got.Through != 0 && f.late >= f.GapLimit {
		l.cursor.goBack(got.Through)
		return false, false
	}
	return got.Through != 0, true
}

// deferLate defers the row x, which was found in a gap of f, by its lane, or by its destination when that lane is one of
// many. A row that another read is to bring is added to f.refused.
func (l *loop) deferLate(f *plannedFetch, x refusal) {
	l.cursor.gaps.seen(x.id)
	if l.comesAnyway(x) {
		f.refused = append(f.refused, x)
		return
	}
	d := l.dests[x.lane.Destination]
	if lane := l.window.lanes[x.lane]; f.late < maxBackfills || lane != nil && lane.deferred.any() {
		l.cursor.deferLane(l.window.lane(x.lane, x.shard, d), x.id)
	} else {
		d.deferred.add(x.id)
	}
	l.stats.now.Late++
	f.late++
}

// bringBack defers the row x, which was found in a gap and refused because a backfill or a catch-up was to
// bring it, if none is to bring it any more. The gaps are read last: a backfill that ended with this fetch may
// have passed over the row.
func (l *loop) bringBack(x refusal) {
	if !l.comesAnyway(x) {
		l.cursor.deferLane(l.window.lane(x.lane, x.shard, l.dests[x.lane.Destination]), x.id)
	}
}

// comesAnyway says whether the row x, found in a gap, needs no deferral to be read: it is buffered, the catch-up of
// its shard or a backfill of its lane or destination is still to bring it, or its destination or shard is not for
// this relay.
func (l *loop) comesAnyway(x refusal) bool {
	d, lane := l.dests[x.lane.Destination], l.window.lanes[x.lane]
	_, buffered := l.window.items[x.identity]
	return buffered || d == nil || !l.lease.works(x.shard) || l.cursor.catchingUp(x.shard, x.id) ||
		d.deferred.covers(x.id) || lane != nil && lane.deferred.covers(x.id)
}

// takeScan takes in rows, the answer to scan i of f, and admits items, where items[j] is made of rows[j], nil when
// that row has no record. Scan 0 goes on from head, the others are catch-ups. more says that the scan has more rows to
// bring. found is the discovery that gaps between the rows belong to.
func (l *loop) takeScan(f *plannedFetch, i int, rows []Row, items []*item, more bool, found *discovery) {
	scan := f.Scans[i]
	if i == 0 {
		l.cursor.scanned(scan.After, rows, found)
		for _, it := range items {
			if it != nil {
				l.admit(it, fromScan)
			}
		}
		return
	}
	u := f.catchUps[i-1]
	for _, it := range items[:l.cursor.caughtUp(u, scan.After, rows, more, found)] {
		if it != nil && slices.Contains(u.shards, it.rec.Shard) {
			l.admit(it, fromCatchUp)
		}
	}
}

// takeDestination admits items, a page of the backfill of d that asked for the ids from asked on. next is the
// id where the next page begins, 0 when there is none. It does nothing when the deferral of d has changed since
// the page was asked for. Items above head are left out: scans bring them.
func (l *loop) takeDestination(d *destination, asked, next int64, items []*item) {
	items, next = l.cursor.upToHead(items, next)
	if !d.deferred.advance(asked, next) {
		return
	}
	for _, it := range items {
		l.admit(it, fromDestination)
	}
}

// takeLane admits items, a page of the lane's backfill that asked for the ids from asked on. next is the id
// where the next page begins, 0 when there is none. It does nothing when the lane was forgotten or released, or
// its deferral changed, since the page was asked for. Items above head are left out: scans bring them. It stops
// at an event that a redrive put back while the same event is still buffered.
func (l *loop) takeLane(lane *lane, asked, next int64, items []*item) {
	items, next = l.cursor.upToHead(items, next)
	if !l.knows(lane) || !l.cursor.advanceLane(lane, asked, next) {
		return
	}
	for _, it := range items {
		l.admit(it, fromLane)
		if l.redriven(it) {
			break // what follows it waits with it
		}
	}
	l.window.forget(lane)
}

// knows says whether the window still has this lane. If not, it was forgotten since the fetch was planned.
func (l *loop) knows(lane *lane) bool { return l.window.lanes[lane.key] == lane }

// takeStrays admits those of the items, the page of a sweep, that no other read brings. It counts and logs the
// events that were buffered, and returns their number. Items above head are left out, as scans bring them, but for
// those of ids that were not given.
func (l *loop) takeStrays(page *Sweep, items []*item) int {
	found := 0
	explicit := page.Before == 0
	if !explicit {
		items, _ = l.cursor.upToHead(items, 0)
	}
	for _, it := range items {
		if l.admit(it, fromSweep); it.lane == nil {
			continue
		}
		found++
		l.log.Warn("found an unsent event that no other read brings: its id was not drawn when it was inserted, or the cache of outbox.events_id_seq is above 1",
			slog.Int64("id", it.rec.ID), slog.String("event_id", it.rec.EventID.String()), slog.Bool("explicit_id", explicit))
	}
	l.stats.now.Strays += int64(found)
	return found
}
