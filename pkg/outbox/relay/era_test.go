package relay_test

import (
	"sync"
	"testing"
	"time"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

// A standby that lacks the last commits is promoted while a relay runs, and new events are given ids that the relay has
// read already. Each of them is sent, in order, within a renewal and without a sweep.
func TestIDsThatComeAgainAfterAFailoverAreReadAtOnce(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.cfg.SweepEvery = -1
		w.start(w.Context(), "r", 3*time.Second)
		w.store.Enqueue(event("a", 0))
		pass(500 * time.Millisecond)
		replica := w.store.Replica()
		w.store.Enqueue(event("b", 0), event("b", 1), event("b", 2))
		pass(500 * time.Millisecond)
		w.store.Failover(replica, 0)
		for n := 1; n < 6; n++ {
			w.store.Enqueue(event("a", n))
		}
		pass(100 * time.Millisecond)
		w.nothingPending()
		sum := w.summary("r")
		w.inOrder(w.broker(), 6, "a")
		if sum.Eras != 1 || sum.Mismatched != 0 {
			w.Errorf("eras = %d, mismatched = %d, want 1 and 0", sum.Eras, sum.Mismatched)
		}
	})
}

// The sequence is set back, as truncate with restart identity does, and the server has no other sign of it.
func TestASequenceThatWasSetBackIsNoticedAtOnce(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.cfg.SweepEvery = -1
		w.start(w.Context(), "r", 3*time.Second)
		recs := w.store.Enqueue(event("b", 0), event("b", 1), event("b", 2), event("b", 3))
		pass(500 * time.Millisecond)
		for i := range recs {
			w.store.Lose(recs[i].ID)
		}
		w.store.Restart(1)
		w.store.Enqueue(event("a", 0), event("a", 1))
		pass(100 * time.Millisecond)
		w.nothingPending()
		w.store.Enqueue(event("a", 2), event("a", 3), event("a", 4))
		pass(100 * time.Millisecond)
		w.nothingPending()
		if sum := w.summary("r"); sum.Eras != 1 {
			w.Errorf("eras = %d, want 1", sum.Eras)
		}
		w.inOrder(w.broker(), 5, "a")
	})
}

// An id far above the sequence is one event's matter: later events are as fast as before, and it is sent by a sweep.
func TestAnExplicitIDDoesNotDelayLaterEvents(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.cfg.SweepEvery = time.Second
		w.start(w.Context(), "r", 5*time.Second)
		w.store.Enqueue(event("a", 0))
		pass(100 * time.Millisecond)
		w.store.Insert(500_000_000, event("b", 0))
		for n := 1; n < 8; n++ {
			w.store.Enqueue(event("a", n))
			pass(50 * time.Millisecond)
			if got := len(groups(w.broker())[groupOf(w.T, "a")]); got != n+1 {
				w.Errorf("%d events of a were sent 50 ms after the last of %d", got, n+1)
			}
		}
		pass(2 * time.Second)
		w.nothingPending()
		sum := w.summary("r")
		w.inOrder(w.broker(), 8, "a")
		w.inOrder(w.broker(), 1, "b")
		if sum.Eras != 0 || sum.Strays != 1 {
			w.Errorf("eras = %d, strays = %d, want 0 and 1", sum.Eras, sum.Strays)
		}
	})
}

// While an event is sent its row is lost, and a new event is given its id. The answer for the lost event must not mark
// the new one, which is read and sent.
func TestAnEventThatTookTheIDOfALostOneIsSent(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		lost := w.store.Enqueue(event("a", 0))[0]
		var fresh outbox.Record
		var once sync.Once
		w.broker().Judge = func(int, []outbox.Message, int) outbox.Result {
			once.Do(func() {
				w.store.Lose(lost.ID)
				w.store.Restart(lost.ID)
				fresh = w.store.Enqueue(event("a", 1))[0]
			})
			return outbox.Result{Class: outbox.Accepted}
		}
		w.start(w.Context(), "r", 5*time.Second)
		sum := w.summary("r")
		w.inOrder(w.broker(), 2, "a")
		w.nothingPending()
		if sum.Mismatched != 1 || sum.Eras != 1 {
			w.Errorf("mismatched = %d, eras = %d, want 1 each", sum.Mismatched, sum.Eras)
		}
		log := w.broker().Log()
		if sent := w.store.Sent()[fresh.ID]; sent.EventID != fresh.EventID || sent.MessageID != log[1].Result.MessageID {
			w.Errorf("the new event is marked with %+v, want the ids of its own message %+v", sent, log[1].Result)
		}
	})
}
