package relay_test

import (
	"testing"
	"time"
)

// A session that drew ids in advance commits them in transactions that nobody
// who looked at the gap could know of.
func TestEventThatAppearsLongBehindThePositionIsDelivered(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		drawn := w.store.Begin()
		ids := drawn.Enqueue(event("gone", 0), event("gone", 1), event("gone", 2))
		drawn.Rollback()
		w.start(w.Context(), "r", 60*time.Second)
		w.store.Enqueue(event("a", 0))
		pass(20 * time.Second)
		w.inOrder(w.broker(), 1, "a")
		for i, id := range []int64{ids[0].ID, ids[2].ID} {
			tx := w.store.Begin()
			tx.EnqueueAt(id, event("b", i))
			tx.Commit()
		}
		w.store.Enqueue(event("a", 1))
		pass(15 * time.Second)
		w.inOrder(w.broker(), 2, "a", "b")
		w.nothingPending()
		if sum := w.summary("r"); sum.Strays != 2 || sum.Late != 0 {
			t.Errorf("summary: %+v", sum)
		}
	})
}

// A sweep finds everything that is in memory or waits in the table on purpose.
// None of it may be sent again or out of turn.
func TestSweepBesideABacklogSendsNothingTwice(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.cfg.SweepEvery = 20 * time.Millisecond
		w.cfg.Window, w.cfg.LaneWindow, w.cfg.FetchLimit = 100, 5, 30
		for n := range 400 {
			w.store.Enqueue(event("hot", n))
			if n < 50 {
				w.store.Enqueue(event("b", n), event("c", n))
			}
		}
		w.start(w.Context(), "r", 20*time.Second)
		sum := w.summary("r")
		w.inOrder(w.broker(), 400, "hot")
		w.inOrder(w.broker(), 50, "b", "c")
		w.nothingPending()
		if n := len(w.broker().Log()); n != 500 || sum.Strays != 0 {
			t.Errorf("%d sends of 500 events, %d strays", n, sum.Strays)
		}
	})
}
