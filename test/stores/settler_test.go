package stores_test

import (
	"testing"

	"github.com/google/uuid"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

func settlerTests() map[string]func(*testing.T, *world) {
	return map[string]func(*testing.T, *world){
		"an event is settled once":                         settledOnce,
		"a dead letter leaves the table of events":         buried,
		"nothing is settled without a lease":               fenced,
		"an event is not buried for an earlier generation": earlierGeneration,
		"accepted events and dead letters settle at once":  mixed,
		"a row of another event is not settled":            otherEvent,
		"two dead letters of one row id are both kept":     twoDeadLetters,
	}
}

func settledOnce(t *testing.T, w *world) {
	t.Helper()
	id := w.owner(t)
	a, b := w.write(t, "a"), w.write(t, "a")
	if got := w.settle(t, id, accept(a)); got.Accepted != 1 || got.DeadLetters != 0 || got.Fenced {
		t.Errorf("settled = %+v", got)
	}
	if got := w.settle(t, id, accept(a, b, b+100)); got.Accepted != 1 {
		t.Errorf("settled again = %+v, want only the other", got)
	}
	if got := w.settle(t, id, relay.Settlement{DeadLetters: []relay.DeadLetter{{ID: a, Attempts: 1, Code: "C", Reason: "R"}}}); got.DeadLetters != 0 {
		t.Errorf("a sent event was buried: %+v", got)
	}
	want(t, "unsent", recordIDs(w.fetch(t, relay.Fetch{Sweep: &relay.Sweep{Destinations: []string{"default"}, From: 1, Before: b + 1, Limit: 10}}).Sweep.Records))
}

func buried(t *testing.T, w *world) {
	t.Helper()
	id := w.owner(t)
	a, b := w.write(t, "a"), w.write(t, "a")
	w.bury(t, id, a, false)
	if w.blocked(t, laneOf("a")) {
		t.Error("the lane is blocked")
	}
	got := w.fetch(t, relay.Fetch{Scans: []relay.Scan{{Limit: 10}}, Gaps: []relay.Range{{From: a, To: b}}})
	all, _ := rowIDs(got.Scans[0])
	want(t, "scan", all, b)
	want(t, "gaps", got.Gaps.IDs, b)
	if got := w.settle(t, id, relay.Settlement{Accepted: accept(a).Accepted, DeadLetters: []relay.DeadLetter{{ID: a, Attempts: 1, Code: "C", Reason: "R"}}}); got.Accepted+got.DeadLetters != 0 {
		t.Errorf("a dead letter was settled again: %+v", got)
	}
}

func fenced(t *testing.T, w *world) {
	t.Helper()
	a := w.write(t, "a")
	left := w.owner(t)
	w.leave(t, left, relay.Position{})
	for _, id := range []uuid.UUID{left, uuid.New()} {
		s := accept(a)
		s.DeadLetters = []relay.DeadLetter{{ID: a, Attempts: 1, Code: "C", Reason: "R", Block: true}}
		if got := w.settle(t, id, s); !got.Fenced || got.Accepted+got.DeadLetters != 0 {
			t.Errorf("settled = %+v, want it fenced", got)
		}
	}
	if w.blocked(t, laneOf("a")) {
		t.Error("a lane is blocked")
	}
}

func earlierGeneration(t *testing.T, w *world) {
	t.Helper()
	id := w.owner(t)
	a := w.write(t, "a")
	w.bury(t, id, a, false)
	w.redrive(t, a)
	// The same settlement again, because its answer got lost.
	died := relay.DeadLetter{ID: a, Attempts: 1, Code: "C", Reason: "R"}
	if got := w.settle(t, id, relay.Settlement{DeadLetters: []relay.DeadLetter{died}}); got.DeadLetters != 0 {
		t.Errorf("a redriven event was buried for its earlier generation: %+v", got)
	}
	died.Replays = 1
	if got := w.settle(t, id, relay.Settlement{DeadLetters: []relay.DeadLetter{died}}); got.DeadLetters != 1 {
		t.Errorf("settled = %+v, want one dead letter", got)
	}
}

func mixed(t *testing.T, w *world) {
	t.Helper()
	id := w.owner(t)
	a, b, c := w.write(t, "a"), w.write(t, "b"), w.write(t, "c")
	s := accept(a)
	s.DeadLetters = []relay.DeadLetter{{ID: b, Attempts: 1, Code: "C", Reason: "R"}, {ID: c, Attempts: 1, Code: "C", Reason: "R", Block: true}}
	if got := w.settle(t, id, s); got.Accepted != 1 || got.DeadLetters != 2 {
		t.Errorf("settled = %+v", got)
	}
	if w.blocked(t, laneOf("b")) || !w.blocked(t, laneOf("c")) {
		t.Error("the wrong lane is blocked")
	}
}

// otherEvent settles events whose rows were lost, as in a failover, and whose row ids other events have now.
func otherEvent(t *testing.T, w *world) {
	t.Helper()
	id := w.owner(t)
	a, b, c := w.write(t, "a"), w.write(t, "b"), w.write(t, "c")
	lost := relay.Settlement{
		Accepted:    []relay.Accepted{{ID: a, EventID: uuid.New(), MessageID: "m", SequenceNumber: "1"}, accept(c).Accepted[0]},
		DeadLetters: []relay.DeadLetter{{ID: b, EventID: uuid.New(), Attempts: 1, Code: "C", Reason: "R", Block: true}},
	}
	if got := w.settle(t, id, lost); got != (relay.Settled{Accepted: 1, Mismatched: 2}) {
		t.Errorf("settled = %+v, want one, and two whose ids are other events'", got)
	}
	got := w.fetch(t, relay.Fetch{Scans: []relay.Scan{{Limit: 10}}})
	_, unsent := rowIDs(got.Scans[0])
	want(t, "unsent", unsent, a, b)
	if w.blocked(t, laneOf("b")) {
		t.Error("the lane of another event is blocked")
	}
}

// twoDeadLetters buries an event whose row id is that of an event that was buried before the id came again.
func twoDeadLetters(t *testing.T, w *world) {
	t.Helper()
	id := w.owner(t)
	first := w.write(t, "a")
	event := w.events[first]
	w.bury(t, id, first, false)
	w.restart(t, first)
	if again := w.write(t, "b"); again != first {
		t.Fatalf("the id is %d, want %d again", again, first)
	}
	w.bury(t, id, first, false)
	for _, e := range []uuid.UUID{event, w.events[first]} {
		if !w.dead(t, e) {
			t.Errorf("event %s is no dead letter any more", e)
		}
	}
}
