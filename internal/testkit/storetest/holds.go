package storetest

import (
	"testing"

	"github.com/google/uuid"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

func holdTests() map[string]func(*testing.T, *world) {
	return map[string]func(*testing.T, *world){
		"a lane on hold is hidden, but for who asks":           hidden,
		"a released lane is told until its hold is deleted":    released,
		"a hold is deleted only for the release that was told": releasedAnew,
		"a redriven event is put back and its lane released":   redriven,
		"a lane on hold for another event stays on hold":       heldForAnother,
		"a death after the release holds the lane again":       heldAgain,
		"only the holder of the shard deletes a hold":          notTheHolder,
	}
}

func hidden(t *testing.T, w *world) {
	t.Helper()
	id := w.holder(t)
	dead, a, b, o := w.write(t, "a"), w.write(t, "a"), w.write(t, "b"), w.writeTo(t, "other", "a")
	w.bury(t, id, dead, true)
	if !w.OnHold(t, laneOf("a")) {
		t.Fatal("the lane is not on hold")
	}
	got := w.fetch(t, relay.Fetch{
		Scans: []relay.Scan{{Limit: 10}},
		Backfills: []relay.Backfill{
			{From: 1, Limit: 10, Examine: 10},
			{Lane: outbox.Lane{Destination: outbox.DefaultDestination}, From: 1, Limit: 10, Examine: 10},
			{Lane: laneOf("a"), From: 1, Limit: 10, Examine: 10},
			{Lane: laneOf("a"), From: 1, Held: true, Limit: 10, Examine: 10},
		},
		Gaps: []relay.Range{{From: dead, To: o}},
	})
	all, mine := rowIDs(got.Scans[0])
	want(t, "ids of the scan", all, a, b, o)
	want(t, "records of the scan", mine, b, o)
	for i, ids := range [][]int64{{b, o}, {b}, nil, {a}} {
		want(t, "backfill", recordIDs(got.Backfills[i].Records), ids...)
	}
	want(t, "seen in gaps", got.Seen, a, b, o)
	want(t, "found in gaps", recordIDs(got.Gaps), b, o)
	if len(got.Held) != 1 || got.Held[0].ID != a || got.Held[0].Lane != laneOf("a") || got.Held[0].Shard != got.Backfills[3].Records[0].Shard {
		t.Errorf("held = %+v", got.Held)
	}
}

// hold puts the lane of a on hold and returns the relay that holds its shard, and
// the dead event.
func (w *world) hold(t *testing.T) (uuid.UUID, int64) {
	t.Helper()
	id, dead := w.holder(t), w.write(t, "a")
	w.bury(t, id, dead, true)
	return id, dead
}

func (w *world) told(t *testing.T, id uuid.UUID, resumed ...relay.ReleasedLane) []relay.ReleasedLane {
	t.Helper()
	return w.renew(t, relay.Renewal{RelayID: id, Position: relay.Position{Low: 1}, Resumed: resumed}).Released
}

func released(t *testing.T, w *world) {
	t.Helper()
	id, dead := w.hold(t)
	if got := w.told(t, id); len(got) != 0 {
		t.Errorf("told %+v before the release", got)
	}
	w.Release(t, laneOf("a"))
	var last []relay.ReleasedLane
	for range 2 {
		last = w.told(t, id)
		if len(last) != 1 || last[0].Lane != laneOf("a") || last[0].FirstID != dead || last[0].ReleasedAt.IsZero() {
			t.Fatalf("told %+v", last)
		}
	}
	a := w.write(t, "a")
	if _, mine := rowIDs(w.fetch(t, relay.Fetch{Scans: []relay.Scan{{Limit: 10}}}).Scans[0]); len(mine) != 0 {
		t.Errorf("a released lane is not hidden before its hold is deleted: %v", mine)
	}
	if got := w.told(t, id, last...); len(got) != 0 {
		t.Errorf("told %+v after the hold was deleted", got)
	}
	_, mine := rowIDs(w.fetch(t, relay.Fetch{Scans: []relay.Scan{{Limit: 10}}}).Scans[0])
	want(t, "records without the hold", mine, a)
}

func releasedAnew(t *testing.T, w *world) {
	t.Helper()
	id, dead := w.hold(t)
	w.Release(t, laneOf("a"))
	first := w.told(t, id)
	w.Redrive(t, dead)
	second := w.told(t, id, first...)
	if len(first) != 1 || len(second) != 1 || first[0].ReleasedAt.Equal(second[0].ReleasedAt) {
		t.Fatalf("told %+v, then %+v", first, second)
	}
	if got := w.told(t, id, second...); len(got) != 0 {
		t.Errorf("told %+v after the hold was deleted", got)
	}
}

func redriven(t *testing.T, w *world) {
	t.Helper()
	id := w.holder(t)
	dead, later := w.write(t, "a"), w.write(t, "a")
	w.bury(t, id, dead, false)
	w.settle(t, id, accept(later))
	w.Redrive(t, dead)
	got := w.told(t, id)
	if len(got) != 1 || got[0].FirstID != dead {
		t.Fatalf("told %+v", got)
	}
	records := w.fetch(t, relay.Fetch{Backfills: []relay.Backfill{{Lane: laneOf("a"), From: 1, Held: true, Limit: 10, Examine: 10}}}).Backfills[0].Records
	want(t, "put back", recordIDs(records), dead)
	if len(records) == 1 && records[0].Replays != 1 {
		t.Errorf("generation %d, want 1", records[0].Replays)
	}
}

func heldForAnother(t *testing.T, w *world) {
	t.Helper()
	id := w.holder(t)
	skipped, head := w.write(t, "a"), w.write(t, "a")
	w.bury(t, id, skipped, false)
	w.bury(t, id, head, true)
	w.Redrive(t, skipped)
	if got := w.told(t, id); len(got) != 0 || !w.OnHold(t, laneOf("a")) {
		t.Errorf("told %+v: the lane is on hold for another event", got)
	}
	w.Release(t, laneOf("a"))
	if got := w.told(t, id); len(got) != 1 || got[0].FirstID != skipped {
		t.Errorf("told %+v, want it from the event that was put back", got)
	}
}

func heldAgain(t *testing.T, w *world) {
	t.Helper()
	id, _ := w.hold(t)
	next := w.write(t, "a")
	w.Release(t, laneOf("a"))
	told := w.told(t, id)
	w.bury(t, id, next, true)
	if got := w.told(t, id, told...); len(got) != 0 || !w.OnHold(t, laneOf("a")) {
		t.Errorf("told %+v: the lane is on hold again", got)
	}
}

func notTheHolder(t *testing.T, w *world) {
	t.Helper()
	id, _ := w.hold(t)
	w.Release(t, laneOf("a"))
	told := w.told(t, id)
	other := w.join(t, ttl)
	if got := w.renew(t, relay.Renewal{RelayID: other, Relays: 2, Position: relay.Position{Low: 1}, Resumed: told}).Released; len(got) != 0 {
		t.Errorf("another relay was told %+v", got)
	}
	if got := w.renew(t, relay.Renewal{RelayID: id, Relays: 2}).Released; len(got) != 1 {
		t.Errorf("told %+v: the hold was deleted by another relay", got)
	}
}
