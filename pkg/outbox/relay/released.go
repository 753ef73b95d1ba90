package relay

import (
	"log/slog"
	"slices"
)

// laneDeferral is what a lane deferred, and how far it has come with being read
// again after an operator released it.
type laneDeferral struct {
	deferral
	release release
	// bound is the id up to which the lane's shard had been read when the search began; when a row of the lane
	// is found in a gap during the search, it is lowered to below that row. Scans do not show the rows of the
	// lane above bound, as it is still blocked in the table, so the lane goes on at bound+1 at the latest.
	bound int64
	// lane is the release that the search is for, as the answer to a renewal named it. It is zero before the
	// first release.
	lane ReleasedLane
}

// idle says whether nothing of the lane is deferred and no release of it is under way.
func (d *laneDeferral) idle() bool { return !d.any() && d.release == notReleased }

// release is how far a lane that an operator released has come on its way back to being read. Rows below the
// one that blocked the lane may have committed, or been put back, while it was blocked, so its first row is
// searched for. Until that row is known the position cannot allow for the lane, so the lane's row in
// outbox.blocked stays; and while it stays, no read but the search shows rows of the lane.
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
	// deferral.first on.
	searching
	// found: it is deferral.first. The next renewal asks to delete the lane's row
	// in outbox.blocked.
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

// deferBlocked defers the row with the id, which was found in a gap and whose lane is blocked in the table. An
// operator may have released the lane, with the answer to a renewal that says so yet to come: deferred, the row
// is not overtaken by rows that scans read before that answer. When a search of the lane is under way it may
// have passed over the row, so bound is lowered.
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

// releaseLane begins to search for the first event of a lane that an operator released. It does nothing if a
// search for this same release has begun before, if the lane was blocked anew by this relay, or if the
// destination or the shard is not one that this relay works on.
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
	// Released anew: a search that is under way may have missed what was put
	// back in front of the lane.
	l.fetcher.stale = l.fetcher.stale || again && l.fetcher.running
	l.cursor.releaseLane(lane, r)
	l.log.Info("lane released", slog.String("destination", r.Lane.Destination),
		slog.String("aggregate_type", r.Lane.AggregateType), slog.String("aggregate_id", r.Lane.AggregateID))
}

// unblocked takes in the answer to a renewal that asked to unblock the lanes asked: they go on, but for those
// that are also in released, the lanes that the answer names. Such a lane is still blocked, because its row in
// outbox.blocked was locked or the lane was released anew: in the latter case the search begins anew.
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
