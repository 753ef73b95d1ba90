package relay_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/memory"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

// blockAndRelease runs a relay until the lane is blocked, sets released, and
// runs it on while the lane is released.
func (w *world) blockAndRelease(lane outbox.Lane, released *atomic.Bool) {
	w.Helper()
	w.start(w.Context(), "r", 40*time.Second)
	pass(5 * time.Second)
	if !w.store.IsBlocked(lane) {
		w.Fatal("the lane is not blocked")
	}
	released.Store(true)
	w.store.Release(lane)
	pass(20 * time.Second)
}

// An event is put back in front of its lane at each moment at which the lane is
// being resumed. As long as the lane is blocked no event may overtake it.
func TestEventPutBackIntoALaneThatIsBeingResumedComesFirst(t *testing.T) {
	t.Parallel()
	inTime, late := 0, 0
	for moment := range 24 {
		inWorld(t, func(w *world) {
			w.cfg.Destinations = map[string]relay.Destination{outbox.DefaultDestination: {OnReject: relay.Block}}
			w.broker().Judge = func(_ int, msgs []outbox.Message, i int) outbox.Result {
				if m := msgs[i]; m.Body == `{"n":0}` && !strings.Contains(m.DeduplicationID, "#") {
					return outbox.Result{Class: outbox.Rejected, Code: "no"}
				}
				return outbox.Result{Class: outbox.Accepted}
			}
			recs := w.store.Enqueue(event("a", 0), event("a", 1), event("a", 2))
			lane := recs[0].Lane()
			var mu sync.Mutex
			var released atomic.Bool
			named, blocked, step := false, false, 0
			at := func(name string) {
				mu.Lock()
				defer mu.Unlock()
				if !released.Load() || !named && name != "renew" {
					return
				}
				named = true
				if step++; step == moment+1 {
					_, blocked = w.store.Blocked()[lane]
					w.store.Redrive(recs[0].ID)
				}
			}
			w.store.Before = func(_ context.Context, name string) error { at(name); return nil }
			w.store.After = func(_ context.Context, name string) error { at(name); return nil }
			w.blockAndRelease(lane, &released)
			want := []string{`{"n":0}`, `{"n":1}`, `{"n":2}`}
			got := groups(w.broker())[groupOf(t, "a")]
			if blocked {
				inTime++
				if fmt.Sprint(got) != fmt.Sprint(want) {
					w.Errorf("put back at step %d: accepted %v, want %v", moment, got, want)
				}
			} else if late++; len(got) != 3 || !slices.Contains(got, want[0]) {
				w.Errorf("put back at step %d, when the lane had gone on: accepted %v", moment, got)
			}
			if n := len(w.store.Blocked()); n != 0 {
				w.Errorf("put back at step %d: %d lanes are blocked", moment, n)
			}
			w.nothingPending()
		})
	}
	if inTime < 5 || late < 1 {
		t.Errorf("%d moments before the lane was unblocked and %d after: the steps miss what they are for", inTime, late)
	}
}

// A dead letter of a lane that went on is redriven, and the lane is hidden until
// the relay has unblocked it. A row that commits late then stays behind those that
// were read already; one that commits after it must not be read either.
func TestLateRowThatAHoldHidesIsNotOvertaken(t *testing.T) {
	t.Parallel()
	const dead, late = `{"n":0}`, `{"n":1}`
	for name, setUp := range map[string]func(w *world, late *memory.Tx, id int64){
		"by what a lane had left in the table": func(w *world, late *memory.Tx, id int64) {
			w.cfg.LaneWindow = 2
			w.store.Enqueue(event("a", 2), event("a", 3), event("a", 4), event("a", 5), event("a", 6), event("a", 7), event("a", 8))
			judge, done := w.broker().Judge, false
			w.broker().Judge = func(n int, msgs []outbox.Message, i int) outbox.Result {
				if !done && w.store.IsDead(id) {
					done = true
					w.store.Redrive(id)
					late.Commit()
					w.store.Enqueue(event("a", 9))
				}
				return judge(n, msgs, i)
			}
		},
		"by what the same fetch had scanned": func(w *world, late *memory.Tx, id int64) {
			w.store.Enqueue(event("b", 0))
			scanned := 0
			w.store.Before = func(_ context.Context, step string) error {
				switch {
				case !w.store.IsDead(id):
				case step == "fetch.scan":
					if scanned++; scanned == 2 {
						late.Commit()
						w.store.Enqueue(event("a", 9))
					}
				case step == "fetch.gaps" && scanned == 2:
					w.store.Redrive(id)
				}
				return nil
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, func(w *world) {
				w.broker().Judge = func(_ int, msgs []outbox.Message, i int) outbox.Result {
					if m := msgs[i]; m.Body == dead && !strings.Contains(m.DeduplicationID, "#") {
						return outbox.Result{Class: outbox.Rejected, Code: "no"}
					}
					return outbox.Result{Class: outbox.Accepted}
				}
				first := w.store.Enqueue(event("a", 0))[0]
				tx := w.store.Begin()
				tx.Enqueue(event("a", 1))
				setUp(w, tx, first.ID)
				w.start(w.Context(), "r", 40*time.Second)
				pass(20 * time.Second)
				got := groups(w.broker())[groupOf(t, "a")]
				redriven, overtaken, last := slices.Index(got, dead), slices.Index(got, late), slices.Index(got, `{"n":9}`)
				if redriven < 0 || overtaken < redriven || last < overtaken {
					w.Errorf("accepted %v", got)
				}
				w.nothingPending()
			})
		})
	}
}

// A lane is searched from its beginning, ahead of the scans. A row that commits
// behind the search, and that a later scan passes over because the lane is
// blocked still, is read all the same.
func TestRowThatCommitsBehindTheSearchOfItsLaneIsRead(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.cfg.Destinations = map[string]relay.Destination{outbox.DefaultDestination: {OnReject: relay.Block}}
		w.cfg.SweepEvery = -1
		w.brokers["down"] = &memory.Broker{Judge: func(int, []outbox.Message, int) outbox.Result {
			return outbox.Result{Class: outbox.Unavailable, Code: "down"}
		}}
		w.broker().Judge = rejectFirst
		lane := w.store.Enqueue(event("a", 0))[0].Lane()
		w.start(w.Context(), "first", 10*time.Second)
		w.summary("first")
		if !w.store.IsBlocked(lane) {
			w.Fatal("the lane is not blocked")
		}
		down := func(n int) {
			for i := range n {
				e := event(fmt.Sprint("b", i), i)
				e.Destination = "down"
				w.store.Enqueue(e)
			}
		}
		down(18)
		late := w.store.Begin()
		late.Enqueue(event("a", 1))
		down(30)
		w.store.Release(lane)
		searched := 0
		w.store.After = func(_ context.Context, step string) error {
			if step == "fetch" {
				if searched++; searched == 2 {
					late.Commit()
				}
			}
			return nil
		}
		w.cfg = relay.WithExamine(w.cfg, 10)
		w.cfg.FetchLimit = 8
		w.start(w.Context(), "second", 20*time.Second)
		pass(15 * time.Second)
		if got := groups(w.broker())[groupOf(t, "a")]; fmt.Sprint(got) != `[{"n":1}]` {
			w.Errorf("accepted %v", got)
		}
	})
}

// A row commits between the reads of each of the first fetches of a lane that is
// being resumed: behind the search of the lane and before the look at the gaps,
// where it is found blocked.
func TestRowThatCommitsBetweenTheSearchOfItsLaneAndTheGapsIsRead(t *testing.T) {
	t.Parallel()
	onHold := 0
	for moment := range 12 {
		inWorld(t, func(w *world) {
			w.cfg.Destinations = map[string]relay.Destination{outbox.DefaultDestination: {OnReject: relay.Block}}
			w.cfg.SweepEvery = -1
			w.broker().Judge = rejectFirst
			lane := w.store.Enqueue(event("a", 0))[0].Lane()
			late := w.store.Begin()
			late.Enqueue(event("a", 1))
			w.store.Enqueue(event("a", 2))
			var mu sync.Mutex
			var released atomic.Bool
			searching, step := false, 0
			w.store.Before = func(_ context.Context, name string) error {
				mu.Lock()
				defer mu.Unlock()
				switch name {
				case "fetch":
					searching = false
				case "fetch.backfill":
					searching = true
				case "fetch.gaps":
					if !searching || !released.Load() {
						break
					}
					if step++; step == moment+1 {
						if _, blocked := w.store.Blocked()[lane]; blocked {
							onHold++
						}
						late.Commit()
					}
				}
				return nil
			}
			w.blockAndRelease(lane, &released)
			mu.Lock()
			if step <= moment {
				late.Commit()
			}
			mu.Unlock()
			pass(5 * time.Second)
			got := groups(w.broker())[groupOf(t, "a")]
			if len(got) != 2 || !slices.Contains(got, `{"n":1}`) || !slices.Contains(got, `{"n":2}`) {
				w.Errorf("committed in fetch %d: accepted %v", moment, got)
			}
			w.nothingPending()
		})
	}
	if onHold == 0 {
		t.Error("no row committed while its lane was blocked: the moments miss what they are for")
	}
}
