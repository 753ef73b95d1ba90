package relay_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/memory"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

func TestRowBelowTheOneThatBlockedItsLaneIsDeliveredAfterTheRelease(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.cfg.Destinations = map[string]relay.Destination{outbox.DefaultDestination: {OnReject: relay.Block}}
		w.broker().Judge = reject(groupOf(t, "a"))
		w.start(w.Context(), "r", 30*time.Second)
		pass(100 * time.Millisecond)
		late := w.store.Begin()
		late.Enqueue(event("a", 0))
		w.store.Enqueue(event("a", 1)) // is rejected and blocks the lane
		pass(time.Second)
		late.Commit()
		pass(time.Second)
		w.store.Release(outbox.Lane{Destination: outbox.DefaultDestination, AggregateType: "t", AggregateID: "a"})
		pass(3 * time.Second)
		if got := fmt.Sprint(groups(w.broker())[groupOf(t, "a")]); got != `[{"n":0}]` {
			w.Errorf("accepted %v", got)
		}
		w.nothingPending()
	})
}

func TestJoinThatGetsNoAnswerEndsTheRun(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.store.Before = func(ctx context.Context, step string) error {
			if step == "join" {
				<-ctx.Done()
			}
			return nil
		}
		r, err := relay.New(w.store, w.config("r"))
		if err != nil {
			w.Fatal(err)
		}
		began := time.Now()
		_, err = r.Run(w.Context(), began.Add(time.Hour))
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > relay.DefaultLeaseTTL {
			w.Errorf("after %v: %v", time.Since(began), err)
		}
	})
}

// Virtual time stands still while a goroutine spins, so a relay that does never
// comes to its deadline here.
func TestReportThatWaitsForItsBacklogDoesNotSpin(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.cfg.ReportEvery = 10 * time.Millisecond
		w.store.Before = func(_ context.Context, step string) error {
			if step == "backlog" {
				pass(500 * time.Millisecond)
			}
			return nil
		}
		w.start(w.Context(), "r", 3*time.Second)
		if sum := w.summary("r"); sum.Outcome != relay.Deadline || sum.Fetches == 0 {
			w.Errorf("summary: %+v", sum)
		}
	})
}

func TestRowThatCommitsBetweenABackfillAndTheGapsIsDelivered(t *testing.T) {
	t.Parallel()
	for fetch := range 12 {
		inWorld(t, func(w *world) {
			w.cfg.LaneWindow = 4
			w.cfg.FetchLimit = 50
			w.cfg.IdleExit = time.Second
			first := w.store.Enqueue(event("a", 0))[0].ID
			for n := range 12 {
				w.store.Enqueue(event("a", 1+n))
			}
			late := w.store.Begin()
			id := late.Enqueue(event("a", 13))[0].ID
			w.store.Enqueue(event("a", 14))
			seen, backfill, done := 0, false, false
			w.store.Before = func(_ context.Context, step string) error {
				switch step {
				case "fetch.backfill":
					backfill = true
				case "fetch.gaps":
					if backfill {
						seen++
					}
					if backfill && !done && seen > fetch {
						done = true
						late.Commit()
					}
					backfill = false
				}
				return nil
			}
			w.start(w.Context(), "r", 20*time.Second)
			w.after(5*time.Second, func() {
				if !done {
					late.Commit()
				}
			})
			w.summary("r")
			if !w.store.IsSent(id) || !w.store.IsSent(first) {
				w.Errorf("committed after backfill %d: the late row %d is not sent", fetch, id)
			}
			w.nothingPending()
		})
	}
}

func TestLateRowsBehindALaterOneThatIsTriedAgainKeepTheirOrder(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.cfg.RetryMin = time.Second
		w.broker().Delay = 100 * time.Millisecond
		w.broker().Judge = func(call int, _ []outbox.Message, _ int) outbox.Result {
			if call == 1 {
				return outbox.Result{Class: outbox.Throttled, Err: errCut}
			}
			return outbox.Result{Class: outbox.Accepted}
		}
		w.start(w.Context(), "r", 30*time.Second)
		pass(100 * time.Millisecond)
		var late [3]*memory.Tx
		for n := range late {
			late[n] = w.store.Begin()
			late[n].Enqueue(event("a", n))
		}
		w.store.Enqueue(event("a", 3)) // is in flight, and then waits, while the others commit
		for _, n := range []int{1, 0, 2} {
			pass(150 * time.Millisecond)
			late[n].Commit()
		}
		w.summary("r")
		if got := fmt.Sprint(groups(w.broker())[groupOf(t, "a")]); got != `[{"n":3} {"n":0} {"n":1} {"n":2}]` {
			w.Errorf("accepted %v", got)
		}
	})
}

// A transaction that inserts one by one among the rows of others leaves more
// gaps than the list holds, so that the ranges cover rows that are known.
func TestLongTransactionAmongManyOthersHoldsUpNobody(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.cfg.FetchLimit = 20
		w.cfg.LaneWindow = 5
		w.start(w.Context(), "r", 60*time.Second)
		long := w.store.Begin()
		for n := range 896 {
			long.Enqueue(event("long", n))
			w.store.Enqueue(event(fmt.Sprint("a", n%7), n/7))
			if n%10 == 0 {
				pass(10 * time.Millisecond)
			}
		}
		pass(10 * time.Second)
		if n := w.store.Pending(); n != 0 {
			w.Errorf("%d of 896 events wait for a transaction that is not theirs", n)
		}
		long.Commit()
		w.summary("r")
		w.inOrder(w.broker(), 896, "long")
		w.inOrder(w.broker(), 128, "a0", "a3", "a6")
		w.nothingPending()
		if n := len(w.broker().Log()); n != 1792 {
			w.Errorf("%d sends of 1,792 events", n)
		}
	})
}

// The pages of the gaps are read one after the other, and two rows of a lane
// may commit in between: the second is on a page to come, the first is not.
func TestRowsThatCommitBetweenTwoPagesOfTheGapsKeepTheirOrder(t *testing.T) {
	t.Parallel()
	for page := 1; page <= 40; page += 3 {
		inWorld(t, func(w *world) {
			w.cfg.FetchLimit = 20
			pair, long := w.store.Begin(), w.store.Begin()
			pair.Enqueue(event("pair", 0))
			for n := range 600 {
				long.Enqueue(event("long", n))
				w.store.Enqueue(event(fmt.Sprint("a", n%7), n/7))
			}
			pair.Enqueue(event("pair", 1))
			w.store.Enqueue(event("last", 0))
			var armed atomic.Bool
			pages := 0
			w.store.Before = func(_ context.Context, step string) error {
				if step == "fetch.gaps" && armed.Load() {
					if pages++; pages == page {
						pair.Commit()
					}
				}
				return nil
			}
			w.start(w.Context(), "r", 20*time.Second)
			pass(5 * time.Second)
			armed.Store(true)
			pass(5 * time.Second)
			w.inOrder(w.broker(), 2, "pair")
			long.Rollback()
			w.nothingPending()
		})
	}
}

// Each seed is a history in which a destination's late rows, and what lanes had
// left in the table, together took more than the window.
func TestTheWindowBoundsWhatLanesReadAgain(t *testing.T) {
	t.Parallel()
	for _, seed := range []uint64{7012156, 7073471} {
		if s := simulate(t, seed); len(s.violations) > 0 {
			t.Error(s.story())
		}
	}
}

// A relay that goes on past an event that it gave up, and is lost before that is
// written, leaves it to another, which sends it behind the next.
func TestLaneWaitsUntilADeathIsWritten(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.broker().Judge = rejectFirst
		var mended atomic.Bool
		w.store.Before = func(_ context.Context, step string) error {
			if step == "settle" && !mended.Load() {
				return errors.New("no connection")
			}
			return nil
		}
		w.store.Enqueue(event("a", 0), event("a", 1), event("b", 2))
		w.start(w.Context(), "r", 30*time.Second)
		pass(2 * time.Second)
		got := groups(w.broker())
		if n := len(got[groupOf(t, "a")]); n != 0 {
			w.Errorf("%d events were accepted behind one whose death is not written", n)
		}
		if n := len(got[groupOf(t, "b")]); n != 1 {
			w.Errorf("%d events of another lane were accepted, want 1", n)
		}
		mended.Store(true)
		pass(5 * time.Second)
		if got := fmt.Sprint(groups(w.broker())[groupOf(t, "a")]); got != `[{"n":1}]` {
			w.Errorf("accepted %v", got)
		}
		w.nothingPending()
	})
}
