package relay

import "time"

// deferral is the rows that a lane or a destination left in the table for later: all its unsent rows with the id
// first or a higher one that are not buffered. They come back with a backfill, in order. A deferred row that
// another read finds is ignored, as it would get before an earlier one. first is 0 when nothing is deferred.
type deferral struct {
	first int64
	// span is the number of ids that the next page of the backfill looks at, 0 for backfillSpan.
	span int64
}

const (
	// backfillSpan is the number of ids that the first page of a backfill looks at. It doubles after a page that took
	// at most sweepQuick, and is backfillSpan again after one that took sweepSlow or longer. An uncommitted row is
	// passed over in 1 µs: a page that looked at all ids of a large transaction would take seconds.
	backfillSpan = 10_000
)

// before returns the id that the next page of the backfill is to stop at.
func (d *deferral) before() int64 { return d.first + max(d.span, backfillSpan) }

// pace sets the span of the next page by the time that the last one took.
func (d *deferral) pace(took time.Duration) {
	switch {
	case took <= sweepQuick:
		d.span = 2 * max(d.span, backfillSpan)
	case took >= sweepSlow:
		d.span = 0
	}
}

// any says whether rows are deferred.
func (d *deferral) any() bool { return d.first != 0 }

// covers says whether rows from first on are deferred and the id is one of theirs.
func (d *deferral) covers(id int64) bool { return d.first != 0 && id >= d.first }

// add defers the rows from id on: it lowers first to id, or sets it when nothing is deferred.
func (d *deferral) add(id int64) {
	if d.first == 0 || id < d.first {
		d.first, d.span = id, 0
	}
}

// lower lowers first to id, so that the rows from id on are deferred. It does nothing when first is lower, which
// the 0 of an empty deferral is as well.
func (d *deferral) lower(id int64) {
	if id < d.first {
		d.first, d.span = id, 0
	}
}

// lowest returns the lower of id and the lowest deferred id, which is id when nothing is deferred.
func (d *deferral) lowest(id int64) int64 {
	if d.first == 0 {
		return id
	}
	return min(d.first, id)
}

// advance takes in a page of a backfill that asked for the rows from the id asked on: now those from the id
// next on are deferred, none when next is 0. It returns false, and changes nothing, when first is no longer
// asked because the deferral has changed since.
func (d *deferral) advance(asked, next int64) bool {
	if d.first != asked {
		return false
	}
	d.first = next
	return true
}

// deferLane defers the rows of a lane from id on, and adds the lane to c.lanes, the lanes to backfill or search.
func (c *cursor) deferLane(l *lane, id int64) {
	l.deferred.add(id)
	c.lanes[l] = struct{}{}
}

// advanceLane takes in a page of a lane's backfill, which asked for the rows from the id asked on: now those
// from next on are deferred, none when next is 0. It returns false, and changes nothing, when the deferral has
// changed or the lane was released since the page was asked for.
func (c *cursor) advanceLane(l *lane, asked, next int64) bool {
	if l.deferred.release == searching || !l.deferred.advance(asked, next) {
		return false
	}
	if next == 0 {
		c.completeLane(l)
	}
	return true
}

// completeLane notes that no row of the lane is deferred any more, and takes the lane out of c.lanes.
func (c *cursor) completeLane(l *lane) {
	l.deferred.first = 0
	delete(c.lanes, l)
}

// dropLane forgets what a lane deferred and that it was released. It is for a lane whose shard drains, as the next
// owner reads the rows, and for one that gets blocked.
func (c *cursor) dropLane(l *lane) {
	c.completeLane(l)
	l.deferred.release = notReleased
}

// takeOver lowers the deferral of each of the lanes to that of its destination, if that is lower. Rows of a lane
// may have been deferred with all rows of the destination; they go before those that the lane deferred by itself,
// so the backfill of the lane has to bring both. Lanes that deferred nothing or are searched stay as they are.
func (c *cursor) takeOver(lanes []*lane) {
	for _, l := range lanes {
		if d := c.destination(l.key.Destination); d.any() && l.deferred.release != searching {
			l.deferred.lower(d.first)
		}
	}
}

// upToHead cuts the items above head off a page of a backfill. It returns the items up to head, and the id
// where the next page begins: next, or 0 when the page reached head. The rows above head come with scans: a
// backfill that read ahead of scans would overtake rows that commit in between.
func (c *cursor) upToHead(items []*item, next int64) ([]*item, int64) {
	if next > c.head {
		next = 0
	}
	for i, it := range items {
		if it.rec.ID > c.head {
			return items[:i], 0
		}
	}
	return items, next
}
