package relay

// laneDeferral is what a lane deferred, and how far it has come with being read
// again after an operator released it.
type laneDeferral struct {
	deferral
	release release
	// bound is how far the lane's shard was read when the search began, or the id
	// below the lowest blocked row found in a gap since. Rows of the lane above
	// it, which commit behind the search, are not shown by scans, so they are
	// deferred as well.
	bound int64
	// lane is the release that the search is for.
	lane ReleasedLane
}

// idle says whether there is nothing to remember of the lane.
func (d *laneDeferral) idle() bool { return !d.any() && d.release == notReleased }

// release is the way of a released lane from its row in outbox.blocked back to
// being read. Lower rows than the one that blocked it may have committed, or may
// have been put back, while it was blocked, so its first row is searched for.
// Its row in outbox.blocked stays until that is known: only then can the
// position allow for the lane. And while it stays, no read but the search
// shows rows of the lane, which could be late ones.
//
//	notReleased ── releaseLane ──> searching ── foundStart ──> found
//	     ^                             ^                         │ │
//	     │                             └──── releaseLane (anew) ─┘ │
//	     └──────────────────── unblocked ──────────────────────────┘
//
// dropLane leads from each of them to notReleased.
type release int

const (
	notReleased release = iota
	// searching: the lowest unsent row of the lane is being looked for, from
	// deferral.from on.
	searching
	// found: it is deferral.from. The next renewal asks to delete the lane's row
	// in outbox.blocked.
	found
)

// releaseLane begins the search for the first row of a released lane.
func (c *cursor) releaseLane(l *lane, r ReleasedLane) {
	l.deferred.release, l.deferred.lane = searching, r
	l.deferred.bound = c.readTo(r.Shard)
	c.deferLane(l, 1)
}

// searched takes in a page of the search that was asked for the rows from asked
// on, and says whether the first row is known now. It does nothing when the
// search has begun anew since.
func (c *cursor) searched(l *lane, asked int64, got LaneStart) bool {
	if l.deferred.release != searching || l.deferred.from != asked {
		return false
	}
	switch {
	case got.First != 0:
		l.deferred.from = min(got.First, l.deferred.bound+1)
	case got.Next != 0:
		l.deferred.from = got.Next
		return false
	default:
		l.deferred.from = l.deferred.bound + 1
	}
	l.deferred.release = found
	return true
}

// deferBlocked defers a row that was found in a gap although its lane is
// blocked: an operator has released the lane, and the answer that says so has
// yet to come. What scans read before that may not overtake the row. A search
// of the lane that is under way may have missed it.
func (c *cursor) deferBlocked(l *lane, id int64) {
	l.deferred.bound = min(l.deferred.bound, id-1)
	c.deferLane(l, id)
}

// toUnblock returns the releases whose lanes' first rows are known.
func (c *cursor) toUnblock() []ReleasedLane {
	var out []ReleasedLane
	for l := range c.lanes {
		if l.deferred.release == found {
			out = append(out, l.deferred.lane)
		}
	}
	return out
}

// unblocked notes that the lane's row in outbox.blocked was deleted: backfills
// show its rows again.
func (c *cursor) unblocked(l *lane) {
	if l.deferred.release == found {
		l.deferred.release = notReleased
	}
}
