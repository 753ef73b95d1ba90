package relay

import (
	"log/slog"
	"slices"
)

// laneDeferral is the rows that a lane deferred, and how far the lane has come on its way back to being read after
// an operator released it.
type laneDeferral struct {
	deferral
	release release
	// bound is the id up to which the lane's shard had been read when the search began. A row of the lane that is
	// found in a gap during the search lowers bound to below that row. Scans give no records of the lane above
	// bound, as the lane is still blocked in the table, so the lane goes on at bound+1 at the latest.
	bound int64
	// lane is the newest release of the lane, as the answer to a renewal named it, and zero before the first.
	lane ReleasedLane
}

// idle says whether nothing of the lane is deferred and no release of it is under way.
func (d *laneDeferral) idle() bool { return !d.any() && d.release == notReleased }

// release is how far a lane that an operator released has come on its way back to being read. Rows below the one
// that blocked the lane may have committed, or been put back, while it was blocked, so its first row is searched
// for. Until that row is known the position cannot allow for the lane, so the lane's row in outbox.blocked stays;
// and while it stays no read gives records of the lane: the search and a read of the gaps give ids alone.
//
//	notReleased ── releaseLane ──> searching ── searched ──> found
//	     ^                             ^                       │ │
//	     │                             └── releaseLane (anew) ─┘ │
//	     └──────────────────── unblocked ────────────────────────┘
//
// releaseLane begins a search anew also in the state searching, and dropLane leads from each state to notReleased.
type release int

const (
	notReleased release = iota
	// searching: the lowest unsent row of the lane is being looked for, from deferral.first on.
	searching
	// found: it is deferral.first. The next renewal asks to delete the lane's row in outbox.blocked.
	found
)

// releaseLane begins the search for the first row of a lane that an operator released, from id 1 on. A search
// that is under way begins anew.
func (c *cursor) releaseLane(l *lane, r ReleasedLane) {
	l.deferred.release, l.deferred.lane = searching, r
	l.deferred.bound = c.readTo(r.Shard)
	c.deferLane(l, 1)
}

// searched takes in got, a page of the search that looked from the id asked on, and says whether the first row
// of the lane is known now. If not, the next page goes on at got.Next. It does nothing and returns false when
// the search has begun anew since.
func (c *cursor) searched(l *lane, asked int64, got LaneStart) bool {
	if l.deferred.release != searching || l.deferred.first != asked {
		return false
	}
	switch {
	case got.First != 0:
		l.deferred.first = min(got.First, l.deferred.bound+1)
	case got.Next != 0:
		l.deferred.first = got.Next
		return false
	default:
		l.deferred.first = l.deferred.bound + 1
	}
	l.deferred.release = found
	return true
}

// deferBlocked defers the rows of the lane from id on, for a row with that id that was found in a gap while its lane
// was blocked in the table. Rows that the same fetch read before the lane was blocked do not overtake it then. A
// search of the lane that has passed over the row goes back to it: laneDeferral.bound, up to which the search reads,
// is lowered to below id. When the lane stays blocked, the next backfill finds nothing and ends the deferral.
func (c *cursor) deferBlocked(l *lane, id int64) {
	l.deferred.bound = min(l.deferred.bound, id-1)
	c.deferLane(l, id)
}

// toUnblock returns the released lanes whose first row is known, for Renewal.Unblock; nil when there are none.
func (c *cursor) toUnblock() []ReleasedLane {
	var out []ReleasedLane
	for l := range c.lanes {
		if l.deferred.release == found {
			out = append(out, l.deferred.lane)
		}
	}
	return out
}

// unblocked ends the release of a lane, as its row in outbox.blocked was deleted: backfills show its rows
// again. It does nothing unless the release is in the state found.
func (c *cursor) unblocked(l *lane) {
	if l.deferred.release == found {
		l.deferred.release = notReleased
	}
}

// releaseLane begins to search for the first row of a lane that an operator released. It does nothing if the search
// for this same release has begun before, if an event of this relay blocks the lane and its settlement is not known
// to be written, or if the destination or the shard is not one that this relay works on.
func (l *loop) releaseLane(r ReleasedLane) {
	d := l.dests[r.Lane.Destination]
	if d == nil || !l.lease.works(r.Shard) {
		return
	}
	lane := l.window.lane(r.Lane, r.Shard, d)
	again := lane.deferred.release != notReleased
	if lane.state == blocked || again && lane.deferred.lane.ReleasedAt.Equal(r.ReleasedAt) {
		return
	}
	// Released anew: a search that is under way may have missed what was put back in front of the lane.
	l.fetcher.stale = l.fetcher.stale || again && l.fetcher.running
	l.cursor.releaseLane(lane, r)
	l.log.Info("lane released", slog.String("destination", r.Lane.Destination),
		slog.String("aggregate_type", r.Lane.AggregateType), slog.String("aggregate_id", r.Lane.AggregateID))
}

// unblocked takes in the answer to a renewal that asked to unblock the lanes asked. released are the lanes that the
// answer names. A lane that is not among them was unblocked and goes on. One that is among them is still blocked,
// because its row in outbox.blocked was locked or it was released anew: then its search begins anew.
func (l *loop) unblocked(asked, released []ReleasedLane) {
	for _, r := range asked {
		lane := l.window.lanes[r.Lane]
		if lane == nil {
			continue
		}
		still := slices.IndexFunc(released, func(x ReleasedLane) bool { return x.Lane == r.Lane })
		if still < 0 {
			l.cursor.unblocked(lane)
			continue
		}
		if lane.deferred.release != notReleased {
			l.releaseLane(released[still])
		}
	}
}
