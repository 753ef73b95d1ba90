package stores_test

import (
	"testing"

	"github.com/google/uuid"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

func blockedTests() map[string]func(*testing.T, *world) {
	return map[string]func(*testing.T, *world){
		"a blocked lane is hidden from all but a search":          hidden,
		"a released lane is named until it is unblocked":          released,
		"a lane is unblocked only for the release that was named": releasedAnew,
		"a redriven event is put back and its lane released":      redriven,
		"a lane that another event blocked stays blocked":         blockedByAnother,
		"a dead letter after the release blocks the lane again":   blockedAgain,
		"only the owner of the shard unblocks a lane":             notTheOwner,
	}
}

func hidden(t *testing.T, w *world) {
	t.Helper()
	id := w.owner(t)
	dead, a, b, o := w.write(t, "a"), w.write(t, "a"), w.write(t, "b"), w.writeTo(t, "other", "a")
	shard := w.fetch(t, relay.Fetch{Scans: []relay.Scan{{Limit: 1}}}).Scans[0][0].Record.Shard
	w.bury(t, id, dead, true)
	if !w.blocked(t, laneOf("a")) {
		t.Fatal("the lane is not blocked")
	}
	page := relay.Page{From: 1, Limit: 10, Examine: 10}
	got := w.fetch(t, relay.Fetch{
		Scans:        []relay.Scan{{Limit: 10}},
		Destinations: []relay.DestinationBackfill{{Destination: outbox.DefaultDestination, Page: page}},
		Searches:     []relay.LaneSearch{{Lane: laneOf("a"), From: 1, Examine: 10}},
		Lanes:        []relay.LaneBackfill{{Lane: laneOf("a"), Page: page}},
		Sweep:        &relay.Sweep{Destinations: []string{outbox.DefaultDestination, "other"}, From: 1, Before: o + 1, Limit: 10},
		Gaps:         []relay.Range{{From: dead, To: o}},
	})
	all, mine := rowIDs(got.Scans[0])
	want(t, "ids of the scan", all, a, b, o)
	want(t, "records of the scan", mine, b, o)
	want(t, "backfill of the destination", recordIDs(got.Destinations[0].Records), b)
	want(t, "backfill of the lane", recordIDs(got.Lanes[0].Records))
	want(t, "sweep", recordIDs(got.Sweep.Records), b, o)
	want(t, "search", []int64{got.Searches[0].First, got.Searches[0].Next}, a, 0)
	want(t, "ids in gaps", got.Gaps.IDs, a, b, o)
	want(t, "records in gaps", recordIDs(got.Gaps.Records), b, o)
	if rows := got.Gaps.Blocked; len(rows) != 1 || rows[0].ID != a || rows[0].Lane != laneOf("a") || rows[0].Shard != shard {
		t.Errorf("blocked rows in gaps = %+v", rows)
	}
}

// block blocks the lane of a and returns the relay that owns its shard, and the
// dead letter.
func (w *world) block(t *testing.T) (uuid.UUID, int64) {
	t.Helper()
	id, dead := w.owner(t), w.write(t, "a")
	w.bury(t, id, dead, true)
	return id, dead
}

// released renews the lease of a relay, asks to unblock lanes, and returns the
// lanes that the answer names as released.
func (w *world) released(t *testing.T, id uuid.UUID, unblock ...relay.ReleasedLane) []relay.ReleasedLane {
	t.Helper()
	return w.renew(t, relay.Renewal{RelayID: id, Position: relay.Position{Low: 1}, Unblock: unblock}).Released
}

func released(t *testing.T, w *world) {
	t.Helper()
	id, dead := w.block(t)
	if got := w.released(t, id); len(got) != 0 {
		t.Errorf("named %+v before the release", got)
	}
	w.release(t, laneOf("a"))
	var last []relay.ReleasedLane
	for range 2 {
		last = w.released(t, id)
		if len(last) != 1 || last[0].Lane != laneOf("a") || last[0].FirstID != dead || last[0].ReleasedAt.IsZero() {
			t.Fatalf("named %+v", last)
		}
	}
	a := w.write(t, "a")
	if _, mine := rowIDs(w.fetch(t, relay.Fetch{Scans: []relay.Scan{{Limit: 10}}}).Scans[0]); len(mine) != 0 {
		t.Errorf("a released lane is not hidden before it is unblocked: %v", mine)
	}
	if got := w.released(t, id, last...); len(got) != 0 {
		t.Errorf("named %+v after it was unblocked", got)
	}
	_, mine := rowIDs(w.fetch(t, relay.Fetch{Scans: []relay.Scan{{Limit: 10}}}).Scans[0])
	want(t, "records of the unblocked lane", mine, a)
}

func releasedAnew(t *testing.T, w *world) {
	t.Helper()
	id, dead := w.block(t)
	w.release(t, laneOf("a"))
	first := w.released(t, id)
	w.redrive(t, dead)
	second := w.released(t, id, first...)
	if len(first) != 1 || len(second) != 1 || first[0].ReleasedAt.Equal(second[0].ReleasedAt) {
		t.Fatalf("named %+v, then %+v", first, second)
	}
	if got := w.released(t, id, second...); len(got) != 0 {
		t.Errorf("named %+v after it was unblocked", got)
	}
}

func redriven(t *testing.T, w *world) {
	t.Helper()
	id := w.owner(t)
	dead, later := w.write(t, "a"), w.write(t, "a")
	w.bury(t, id, dead, false)
	w.settle(t, id, accept(later))
	w.redrive(t, dead)
	got := w.released(t, id)
	if len(got) != 1 || got[0].FirstID != dead {
		t.Fatalf("named %+v", got)
	}
	start := w.fetch(t, relay.Fetch{Searches: []relay.LaneSearch{{Lane: laneOf("a"), From: 1, Examine: 10}}}).Searches[0]
	want(t, "put back", []int64{start.First}, dead)
	w.released(t, id, got...)
	records := w.fetch(t, relay.Fetch{Lanes: []relay.LaneBackfill{{Lane: laneOf("a"), Page: relay.Page{From: 1, Limit: 10, Examine: 10}}}}).Lanes[0].Records
	want(t, "unblocked", recordIDs(records), dead)
	if len(records) == 1 && records[0].Replays != 1 {
		t.Errorf("generation %d, want 1", records[0].Replays)
	}
}

func blockedByAnother(t *testing.T, w *world) {
	t.Helper()
	id := w.owner(t)
	skipped, head := w.write(t, "a"), w.write(t, "a")
	w.bury(t, id, skipped, false)
	w.bury(t, id, head, true)
	w.redrive(t, skipped)
	if got := w.released(t, id); len(got) != 0 || !w.blocked(t, laneOf("a")) {
		t.Errorf("named %+v: another event blocked the lane", got)
	}
	w.release(t, laneOf("a"))
	if got := w.released(t, id); len(got) != 1 || got[0].FirstID != skipped {
		t.Errorf("named %+v, want it from the event that was put back", got)
	}
}

func blockedAgain(t *testing.T, w *world) {
	t.Helper()
	id, _ := w.block(t)
	next := w.write(t, "a")
	w.release(t, laneOf("a"))
	named := w.released(t, id)
	w.bury(t, id, next, true)
	if got := w.released(t, id, named...); len(got) != 0 || !w.blocked(t, laneOf("a")) {
		t.Errorf("named %+v: the lane is blocked again", got)
	}
}

func notTheOwner(t *testing.T, w *world) {
	t.Helper()
	id, _ := w.block(t)
	w.release(t, laneOf("a"))
	named := w.released(t, id)
	other := w.join(t, ttl)
	if got := w.renew(t, relay.Renewal{RelayID: other, Relays: 2, Position: relay.Position{Low: 1}, Unblock: named}).Released; len(got) != 0 {
		t.Errorf("the answer to another relay named %+v", got)
	}
	if got := w.renew(t, relay.Renewal{RelayID: id, Relays: 2}).Released; len(got) != 1 {
		t.Errorf("named %+v: another relay unblocked the lane", got)
	}
}
