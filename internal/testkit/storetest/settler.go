package storetest

import (
	"testing"

	"github.com/google/uuid"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

func settlerTests() map[string]func(*testing.T, *world) {
	return map[string]func(*testing.T, *world){
		"an event is settled once":                         settledOnce,
		"a dead event leaves the table":                    deadLeaves,
		"nothing is settled without a lease":               fenced,
		"a death in an earlier generation does not count":  earlierGeneration,
		"what is accepted and what is dead settle at once": mixed,
	}
}

func settledOnce(t *testing.T, w *world) {
	t.Helper()
	id := w.holder(t)
	a, b := w.write(t, "a"), w.write(t, "a")
	if got := w.settle(t, id, accept(a)); got.Accepted != 1 || got.Dead != 0 || got.Fenced {
		t.Errorf("settled = %+v", got)
	}
	if got := w.settle(t, id, accept(a, b, b+100)); got.Accepted != 1 {
		t.Errorf("settled again = %+v, want only the other", got)
	}
	if got := w.settle(t, id, relay.Settlement{Dead: []relay.Dead{{ID: a, Attempts: 1, Code: "C", Reason: "R"}}}); got.Dead != 0 {
		t.Errorf("a sent event died: %+v", got)
	}
	want(t, "left", recordIDs(w.fetch(t, relay.Fetch{Backfills: []relay.Backfill{{From: 1, Limit: 10, Examine: 10}}}).Backfills[0].Records))
}

func deadLeaves(t *testing.T, w *world) {
	t.Helper()
	id := w.holder(t)
	a, b := w.write(t, "a"), w.write(t, "a")
	w.bury(t, id, a, false)
	if w.OnHold(t, laneOf("a")) {
		t.Error("the lane is on hold")
	}
	got := w.fetch(t, relay.Fetch{Scans: []relay.Scan{{Limit: 10}}, Gaps: []relay.Range{{From: a, To: b}}})
	all, _ := rowIDs(got.Scans[0])
	want(t, "scan", all, b)
	want(t, "gaps", got.Seen, b)
	if got := w.settle(t, id, relay.Settlement{Accepted: accept(a).Accepted, Dead: []relay.Dead{{ID: a, Attempts: 1, Code: "C", Reason: "R"}}}); got.Accepted+got.Dead != 0 {
		t.Errorf("a dead event was settled again: %+v", got)
	}
}

func fenced(t *testing.T, w *world) {
	t.Helper()
	a := w.write(t, "a")
	left := w.holder(t)
	w.leave(t, left, relay.Position{})
	for _, id := range []uuid.UUID{left, uuid.New()} {
		s := accept(a)
		s.Dead = []relay.Dead{{ID: a, Attempts: 1, Code: "C", Reason: "R", Block: true}}
		if got := w.settle(t, id, s); !got.Fenced || got.Accepted+got.Dead != 0 {
			t.Errorf("settled = %+v, want it fenced", got)
		}
	}
	if w.OnHold(t, laneOf("a")) {
		t.Error("a lane is on hold")
	}
}

func earlierGeneration(t *testing.T, w *world) {
	t.Helper()
	id := w.holder(t)
	a := w.write(t, "a")
	w.bury(t, id, a, false)
	w.Redrive(t, a)
	// The same settlement again, because its answer got lost.
	died := relay.Dead{ID: a, Attempts: 1, Code: "C", Reason: "R"}
	if got := w.settle(t, id, relay.Settlement{Dead: []relay.Dead{died}}); got.Dead != 0 {
		t.Errorf("a redriven event was buried by its earlier death: %+v", got)
	}
	died.Replays = 1
	if got := w.settle(t, id, relay.Settlement{Dead: []relay.Dead{died}}); got.Dead != 1 {
		t.Errorf("settled = %+v, want one dead", got)
	}
}

func mixed(t *testing.T, w *world) {
	t.Helper()
	id := w.holder(t)
	a, b, c := w.write(t, "a"), w.write(t, "b"), w.write(t, "c")
	s := accept(a)
	s.Dead = []relay.Dead{{ID: b, Attempts: 1, Code: "C", Reason: "R"}, {ID: c, Attempts: 1, Code: "C", Reason: "R", Block: true}}
	if got := w.settle(t, id, s); got.Accepted != 1 || got.Dead != 2 {
		t.Errorf("settled = %+v", got)
	}
	if w.OnHold(t, laneOf("b")) || !w.OnHold(t, laneOf("c")) {
		t.Error("the wrong lane is on hold")
	}
}
