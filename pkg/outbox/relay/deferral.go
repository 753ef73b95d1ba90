package relay

// deferral is the rows that a lane or a destination left in the table for later:
// all unsent ones with the id from or a higher one that are not buffered. They
// come back with a backfill, in order, and no other read may bring them: it
// would put a later row before an earlier one. from is 0 when nothing is
// deferred.
type deferral struct{ from int64 }

// any says whether rows are deferred.
func (d *deferral) any() bool { return d.from != 0 }

// covers says whether the row with the id is deferred.
func (d *deferral) covers(id int64) bool { return d.from != 0 && id >= d.from }

// add defers the rows from id on.
func (d *deferral) add(id int64) {
	if d.from == 0 || id < d.from {
		d.from = id
	}
}

// lower has rows from id on deferred too, if there are deferred ones at all.
func (d *deferral) lower(id int64) { d.from = min(d.from, id) }

// lowest returns the lowest deferred id, or id if that is lower.
func (d *deferral) lowest(id int64) int64 {
	if d.from == 0 {
		return id
	}
	return min(d.from, id)
}

// advance notes that a backfill that was asked for the rows from asked on has
// brought those below next, all there are when next is 0. It says false, and
// does nothing, when the deferral has changed since.
func (d *deferral) advance(asked, next int64) bool {
	if d.from != asked {
		return false
	}
	d.from = next
	return true
}

// deferLane leaves the rows of a lane from id on in the table.
func (c *cursor) deferLane(l *lane, id int64) {
	l.deferred.add(id)
	c.lanes[l] = struct{}{}
}

// advanceLane takes in a page of a lane's backfill, as deferral.advance does. It
// also says false for a page of a lane that has been released since.
func (c *cursor) advanceLane(l *lane, asked, next int64) bool {
	if l.deferred.release == searching || !l.deferred.advance(asked, next) {
		return false
	}
	if next == 0 {
		c.completeLane(l)
	}
	return true
}

// completeLane notes that no row of a lane is deferred any more.
func (c *cursor) completeLane(l *lane) {
	l.deferred.from = 0
	delete(c.lanes, l)
}

// dropLane forgets what a lane deferred and that it was released. The rows are
// read by the next owner of its shard.
func (c *cursor) dropLane(l *lane) {
	c.completeLane(l)
	l.deferred.release = notReleased
}

// takeOver lowers what lanes deferred to what their destinations did. Rows of a
// lane may have been left with those of its destination; they go before those
// that the lane left by itself, so its backfill brings both.
func (c *cursor) takeOver(lanes []*lane) {
	for _, l := range lanes {
		if d := c.destination(l.key.Destination); d.any() && l.deferred.release != searching {
			l.deferred.lower(d.from)
		}
	}
}

// upToHead cuts off what lies above head from a page of a backfill, and returns
// where the next page begins. Those rows come with scans: a backfill that read
// ahead of them would overtake rows that commit in between.
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
