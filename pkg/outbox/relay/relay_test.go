package relay_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/memory"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

func TestRunDeliversEveryLaneInOrderAndMarksIt(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		var names []string
		for i := range 50 {
			names = append(names, fmt.Sprint("a", i))
		}
		for n := range 20 {
			for _, a := range names {
				w.store.Enqueue(event(a, n))
			}
		}
		w.start(w.Context(), "r", 5*time.Second)
		sum := w.summary("r")
		w.inOrder(w.broker(), 20, names...)
		w.nothingPending()
		if sum.Published != 1000 || sum.Settled != 1000 || sum.Outcome != relay.Deadline {
			w.Errorf("summary: %+v", sum)
		}
		for id, a := range w.store.Sent() {
			if a.MessageID == "" || a.SequenceNumber == "" {
				w.Errorf("event %d is marked without the broker's ids: %+v", id, a)
			}
		}
		if fill := float64(sum.BatchEntries) / float64(sum.Batches); fill < 5 {
			w.Errorf("batches of %.1f events: lanes are not packed together", fill)
		}
	})
}

func TestEventThatCommitsLateIsDelivered(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.start(w.Context(), "r", 30*time.Second)
		pass(100 * time.Millisecond)
		late := w.store.Begin()
		late.Enqueue(event("late", 0))
		w.store.Enqueue(event("early", 0))
		pass(20 * time.Second)
		w.inOrder(w.broker(), 1, "early")
		late.Commit()
		committed := time.Now()
		pass(250 * time.Millisecond)
		w.inOrder(w.broker(), 1, "late")
		for _, a := range w.broker().Log() {
			if a.Message.GroupID == groupOf(w.T, "late") && a.At.Sub(committed) > 250*time.Millisecond {
				w.Errorf("delivered %v after its commit", a.At.Sub(committed))
			}
		}
	})
}

func TestFirstEventsOfAllCommittingLateAreDelivered(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		late := w.store.Begin()
		late.Enqueue(event("late", 0), event("late", 1))
		w.store.Enqueue(event("early", 0))
		w.start(w.Context(), "r", 10*time.Second)
		w.after(5*time.Second, late.Commit)
		w.summary("r")
		w.inOrder(w.broker(), 1, "early")
		w.inOrder(w.broker(), 2, "late")
		w.nothingPending()
	})
}

func TestGapOfARollbackIsGivenUp(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.cfg.ReportEvery = time.Second
		w.start(w.Context(), "r", 10*time.Second)
		pass(100 * time.Millisecond)
		tx := w.store.Begin()
		tx.Enqueue(event("gone", 0))
		w.store.Enqueue(event("a", 0))
		pass(3 * time.Second)
		w.mu.Lock()
		if last := w.reports[len(w.reports)-1]; last.Gaps != 1 {
			w.Errorf("%d gaps while the writer is open, want 1", last.Gaps)
		}
		w.mu.Unlock()
		tx.Rollback()
		pass(2 * time.Second)
		w.mu.Lock()
		if last := w.reports[len(w.reports)-1]; last.Gaps != 0 {
			w.Errorf("%d gaps after the rollback, want 0", last.Gaps)
		}
		w.mu.Unlock()
	})
}

func TestPartialFailureKeepsItsLaneWaitingAndNoOther(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		bad := groupOf(t, "bad")
		failures := 0
		w.broker().Judge = func(_ int, msgs []outbox.Message, i int) outbox.Result {
			if msgs[i].GroupID == bad && failures < 5 {
				failures++
				return outbox.Result{Class: outbox.Transient, Err: errors.New("try later"), Code: "InternalError"}
			}
			return outbox.Result{Class: outbox.Accepted}
		}
		for n := range 5 {
			w.store.Enqueue(event("bad", n), event("good", n))
		}
		w.start(w.Context(), "r", 10*time.Second)
		pass(150 * time.Millisecond)
		w.inOrder(w.broker(), 5, "good")
		if sum := w.summary("r"); sum.Transient != 5 || sum.DeadLetters != 0 {
			w.Errorf("summary: %+v", sum)
		}
		w.inOrder(w.broker(), 5, "bad")
		w.nothingPending()
	})
}

func TestLostAnswerIsSentAgainUnderTheSameIDBeforeAnythingNewer(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.broker().Lose = func(call int, _ []outbox.Message) bool { return call == 1 }
		for n := range 3 {
			w.store.Enqueue(event("a", n))
		}
		w.start(w.Context(), "r", 5*time.Second)
		sum := w.summary("r")
		log := w.broker().Log()
		if len(log) != 4 || !log[1].Suppressed || log[0].Message.DeduplicationID != log[1].Message.DeduplicationID {
			w.Errorf("accepted: %+v", log)
		}
		w.inOrder(w.broker(), 3, "a")
		w.nothingPending()
		if sum.Unknown != 1 {
			w.Errorf("%d unknown outcomes, want 1", sum.Unknown)
		}
	})
}

func reject(group string) func(int, []outbox.Message, int) outbox.Result {
	return func(_ int, msgs []outbox.Message, i int) outbox.Result {
		if msgs[i].GroupID == group && strings.Contains(msgs[i].Body, `"n":1}`) {
			return outbox.Result{Class: outbox.Rejected, Err: errors.New("bad character"), Code: "InvalidMessageContents"}
		}
		return outbox.Result{Class: outbox.Accepted}
	}
}

// rejectFirst rejects each event with the number 0.
func rejectFirst(_ int, msgs []outbox.Message, i int) outbox.Result {
	if msgs[i].Body == `{"n":0}` {
		return outbox.Result{Class: outbox.Rejected, Code: "no"}
	}
	return outbox.Result{Class: outbox.Accepted}
}

func TestRejectedEventIsDeadAndTheLaneGoesOn(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.broker().Judge = reject(groupOf(t, "a"))
		for n := range 3 {
			w.store.Enqueue(event("a", n))
		}
		w.start(w.Context(), "r", 5*time.Second)
		sum := w.summary("r")
		got := groups(w.broker())[groupOf(t, "a")]
		if fmt.Sprint(got) != `[{"n":0} {"n":2}]` {
			w.Errorf("accepted %v", got)
		}
		dead := w.store.DeadLetters()
		if len(dead) != 1 || dead[2].Code != "InvalidMessageContents" || dead[2].Reason != "bad character" {
			w.Errorf("dead letters: %+v", dead)
		}
		w.nothingPending()
		if sum.DeadLetters != 1 || sum.Blocked != 0 {
			w.Errorf("summary: %+v", sum)
		}
	})
}

func TestEachDestinationHasTheHeaderAttributesThatItChose(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.brokers["audit"] = &memory.Broker{}
		w.cfg.Destinations = map[string]relay.Destination{"audit": {Encoder: outbox.Encoder{HeaderAttributes: []string{"tenant"}}}}
		for _, destination := range []string{"audit", outbox.DefaultDestination} {
			e := event("a", 1)
			e.Destination, e.Headers = destination, map[string]string{"tenant": "acme"}
			w.store.Enqueue(e)
		}
		w.start(w.Context(), "r", time.Second)
		w.summary("r")
		for name, want := range map[string]outbox.Attribute{
			"audit": {Name: "tenant", Value: "acme"}, outbox.DefaultDestination: {Name: "headers", Value: "tenant=acme"},
		} {
			log := w.brokers[name].Log()
			if len(log) != 1 || !slices.Contains(log[0].Message.Attributes, want) || len(log[0].Message.Attributes) != 7 {
				w.Errorf("%s was sent %+v, want one message with %v", name, log, want)
			}
		}
	})
}

func TestRejectedEventBlocksTheLaneUntilItIsReleased(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.cfg.Destinations = map[string]relay.Destination{outbox.DefaultDestination: {OnReject: relay.Block}}
		w.broker().Judge = reject(groupOf(t, "a"))
		for n := range 3 {
			w.store.Enqueue(event("a", n), event("b", n))
		}
		w.start(w.Context(), "r", 40*time.Second)
		pass(5 * time.Second)
		w.store.Enqueue(event("a", 3))
		pass(5 * time.Second)
		w.inOrder(w.broker(), 1, "a")
		w.inOrder(w.broker(), 3, "b")
		lane := outbox.Lane{Destination: outbox.DefaultDestination, AggregateType: "t", AggregateID: "a"}
		if blocked := w.store.Blocked(); len(blocked) != 1 || blocked[lane] == 0 {
			w.Fatalf("blocked: %v", blocked)
		}
		w.store.Release(lane)
		pass(3 * time.Second)
		w.store.Enqueue(event("a", 4))
		pass(3 * time.Second)
		if got := fmt.Sprint(groups(w.broker())[groupOf(t, "a")]); got != `[{"n":0} {"n":2} {"n":3} {"n":4}]` {
			w.Errorf("accepted %v", got)
		}
		if blocked := w.store.Blocked(); len(blocked) != 0 {
			w.Errorf("still blocked: %v", blocked)
		}
		w.nothingPending()
	})
}

func TestHotLaneLeavesRoomAndLosesNothing(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.cfg.Window, w.cfg.LaneWindow, w.cfg.FetchLimit = 200, 10, 50
		for n := range 300 {
			w.store.Enqueue(event("hot", n))
		}
		w.store.Enqueue(event("quiet", 0))
		w.start(w.Context(), "r", 20*time.Second)
		pass(300 * time.Millisecond)
		w.inOrder(w.broker(), 1, "quiet")
		for n := range 50 {
			w.store.Enqueue(event("hot", 300+n))
			pass(10 * time.Millisecond)
		}
		w.summary("r")
		w.inOrder(w.broker(), 350, "hot")
		w.nothingPending()
	})
}

func TestUnavailableDestinationDoesNotStopTheOthers(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.cfg.Window, w.cfg.FetchLimit = 100, 20
		var up atomic.Bool
		w.brokers["down"] = &memory.Broker{Delay: 5 * time.Millisecond, Judge: func(int, []outbox.Message, int) outbox.Result {
			if !up.Load() {
				return outbox.Result{Class: outbox.Unavailable, Err: errors.New("no such queue"), Code: "QueueDoesNotExist"}
			}
			return outbox.Result{Class: outbox.Accepted}
		}}
		for n := range 500 {
			e := event("x", n)
			e.Destination = "down"
			w.store.Enqueue(e)
		}
		w.start(w.Context(), "r", 60*time.Second)
		for n := range 300 {
			w.store.Enqueue(event("y", n))
		}
		pass(10 * time.Second)
		w.inOrder(w.broker(), 300, "y")
		if n := w.brokers["down"].Calls(); n > 30 {
			w.Errorf("%d calls to a destination that is down in 10 s: no back-off", n)
		}
		up.Store(true)
		sum := w.summary("r")
		w.inOrder(w.brokers["down"], 500, "x")
		w.nothingPending()
		if sum.DeadLetters != 0 {
			w.Errorf("%d dead letters: an outage was charged to single events", sum.DeadLetters)
		}
	})
}

func TestIdleDestinationsLendTheirShareOfTheWindow(t *testing.T) {
	t.Parallel()
	const lanes, perLane = 400, 10
	drain := func(t *testing.T, idle int) (took time.Duration) {
		t.Helper()
		inWorld(t, func(w *world) {
			w.cfg.Window, w.cfg.FetchLimit, w.cfg.Concurrency = 4_000, 400, 32
			w.broker().Delay = 50 * time.Millisecond
			for i := range idle {
				w.brokers[fmt.Sprintf("idle-%d", i)] = &memory.Broker{}
			}
			for n := range perLane {
				for lane := range lanes {
					w.store.Enqueue(event(fmt.Sprint(lane), n))
				}
			}
			began := time.Now()
			w.start(w.Context(), "r", time.Minute)
			for w.store.Pending() > 0 {
				pass(10 * time.Millisecond)
			}
			took = time.Since(began)
		})
		return took
	}
	alone, among := drain(t, 0), drain(t, 99)
	if among > alone*11/10 {
		t.Errorf("a drain takes %v alone and %v among 99 idle destinations", alone, among)
	}
}

func TestDestinationThatBorrowedAndStandsStillLeavesOthersTheirShare(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.cfg.Window, w.cfg.FetchLimit = 200, 20
		w.brokers["down"] = &memory.Broker{Judge: func(int, []outbox.Message, int) outbox.Result {
			return outbox.Result{Class: outbox.Throttled, Err: errors.New("throttled"), Code: "Throttling"}
		}}
		for n := range 2_000 {
			e := event(fmt.Sprint("x", n), 0)
			e.Destination = "down"
			w.store.Enqueue(e)
		}
		w.start(w.Context(), "r", 30*time.Second)
		pass(10 * time.Second)
		for n := range 40 {
			w.store.Enqueue(event(fmt.Sprint("y", n), 0))
		}
		pass(100 * time.Millisecond)
		if got := len(groups(w.broker())); got != 40 {
			t.Errorf("%d of 40 events of a destination that woke were sent within 100 ms", got)
		}
	})
}

func TestUnknownDestinationWaitsUntilItIsConfigured(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		e := event("x", 0)
		e.Destination = "other"
		w.store.Enqueue(e)
		w.store.Enqueue(event("y", 0))
		w.start(w.Context(), "r", 5*time.Second)
		if sum := w.summary("r"); sum.NoDestination == 0 || sum.DeadLetters != 0 {
			w.Errorf("summary: %+v", sum)
		}
		w.inOrder(w.broker(), 1, "y")
		w.brokers["other"] = &memory.Broker{}
		w.start(w.Context(), "r2", 5*time.Second)
		w.summary("r2")
		w.inOrder(w.brokers["other"], 1, "x")
		w.nothingPending()
	})
}

func TestEventsOfADestinationThatBecomesKnownKeepTheirOrder(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		later := func(n int) outbox.Event {
			e := event("x", n)
			e.Destination = "other"
			return e
		}
		for n := range 20 {
			w.store.Enqueue(later(n))
			w.store.Enqueue(event("y", n))
		}
		w.start(w.Context(), "r", 2*time.Second)
		w.summary("r")
		w.brokers["other"] = &memory.Broker{Delay: time.Millisecond}
		w.start(w.Context(), "r2", 5*time.Second)
		for n := range 20 {
			w.store.Enqueue(later(20 + n))
			pass(time.Millisecond)
		}
		w.summary("r2")
		w.inOrder(w.brokers["other"], 40, "x")
		w.nothingPending()
	})
}

// readRows counts the rows that are read through it.
type readRows struct {
	relay.Store
	rows atomic.Int64
}

func (s *readRows) Fetch(ctx context.Context, f relay.Fetch) (relay.Fetched, error) {
	got, err := s.Store.Fetch(ctx, f)
	n := len(got.Gaps.IDs)
	for _, rows := range got.Scans {
		n += len(rows)
	}
	for _, b := range slices.Concat(got.Destinations, got.Lanes) {
		n += len(b.Records)
	}
	s.rows.Add(int64(n))
	return got, err //nolint:wrapcheck // the answer as it is
}

// Neither an event of an unknown destination nor a destination that stands still makes the next relay read again what
// was sent since.
func TestHandOverReadsWhatWaitsAndNotWhatWasSent(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, at string
		known    bool
	}{{"unknown destination", "misspelt", false}, {"destination that stands still", "down", true}} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, func(w *world) {
				w.cfg.Window, w.cfg.FetchLimit, w.cfg.SweepEvery = 400, 100, -1
				if tc.known {
					w.brokers[tc.at] = &memory.Broker{Judge: func(int, []outbox.Message, int) outbox.Result {
						return outbox.Result{Class: outbox.Unavailable, Err: errors.New("no such queue"), Code: "QueueDoesNotExist"}
					}}
				}
				const sent = 3_000
				for n := range sent {
					if n%100 == 0 {
						e := event("x", n)
						e.Destination = tc.at
						w.store.Enqueue(e)
					}
					w.store.Enqueue(event(fmt.Sprint("y", n), 0))
				}
				w.start(w.Context(), "r", 5*time.Second)
				w.summary("r")
				if got := len(groups(w.broker())); got != sent {
					t.Fatalf("%d of %d events were sent", got, sent)
				}
				count := &readRows{Store: w.store}
				w.startOn(w.Context(), count, "r2", 2*time.Second)
				pass(100 * time.Millisecond)
				w.store.Enqueue(event("new", 0))
				pass(50 * time.Millisecond)
				w.inOrder(w.broker(), 1, "new")
				w.summary("r2")
				if rows := count.rows.Load(); rows > 100 {
					t.Errorf("the next relay read %d rows, where 30 wait", rows)
				}
			})
		})
	}
}

func TestHandOverKeepsOrderAndIsQuick(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.cfg.JoinWindow = 8 * time.Second
		w.start(w.Context(), "old", 20*time.Second)
		w.after(13*time.Second, func() { w.start(w.Context(), "new", 20*time.Second) })
		for n := range 2500 {
			w.store.Enqueue(event("a", n), event("b", n))
			pass(10 * time.Millisecond)
		}
		old, young := w.summary("old"), w.summary("new")
		if old.Outcome != relay.Superseded || old.HandOvers != outbox.Shards {
			w.Errorf("old: %+v", old)
		}
		w.inOrder(w.broker(), 2500, "a", "b")
		w.nothingPending()
		if n := len(w.broker().Log()); n != 5000 {
			w.Errorf("%d sends of 5000 events", n)
		}
		var last time.Time
		for _, a := range w.broker().Log() {
			if gap := a.At.Sub(last); !last.IsZero() && gap > 250*time.Millisecond {
				w.Errorf("nothing was delivered for %v", gap)
			}
			last = a.At
		}
		if young.Published == 0 {
			w.Error("the new relay published nothing")
		}
	})
}

func TestTwoRelaysShareTheShards(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.cfg.Relays = 2
		var names []string
		for i := range 40 {
			names = append(names, fmt.Sprint("a", i))
		}
		w.start(w.Context(), "one", 60*time.Second)
		w.after(5*time.Second, func() { w.start(w.Context(), "two", 20*time.Second) })
		for n := range 300 {
			for _, a := range names {
				w.store.Enqueue(event(a, n))
			}
			pass(100 * time.Millisecond)
			if n == 150 {
				if h := w.owners(); !slices.Equal(slices.Collect(maps.Values(h)), []int{32, 32}) {
					w.Errorf("owners: %v", h)
				}
			}
		}
		one, two := w.summary("one"), w.summary("two")
		if one.Published == 0 || two.Published == 0 {
			w.Errorf("published %d and %d", one.Published, two.Published)
		}
		w.inOrder(w.broker(), 300, names...)
		w.nothingPending()
		if n := len(w.broker().Log()); n != 300*len(names) {
			w.Errorf("%d sends of %d events", n, 300*len(names))
		}
	})
}

func TestNewcomerLeavesAtOnceWhenEnoughRelaysRun(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.cfg.JoinWindow = 5 * time.Second
		w.start(w.Context(), "one", 20*time.Second)
		pass(time.Second)
		began := time.Now()
		w.start(w.Context(), "two", 20*time.Second)
		pass(time.Second)
		w.mu.Lock()
		sum, ended := w.summaries["two"]
		w.mu.Unlock()
		if !ended || sum.Outcome != relay.Standby || sum.Seconds > 0.1 {
			w.Errorf("after %v: ended %v, %+v", time.Since(began), ended, sum)
		}
	})
}

func TestIdleExitLeavesWhenNothingComes(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.cfg.IdleExit = 3 * time.Second
		w.store.Enqueue(event("a", 0))
		began := time.Now()
		w.start(w.Context(), "r", time.Hour)
		if sum := w.summary("r"); sum.Outcome != relay.Idle || sum.Published != 1 {
			w.Errorf("summary: %+v", sum)
		}
		if d := time.Since(began); d < 3*time.Second || d > 4*time.Second {
			w.Errorf("left after %v", d)
		}
	})
}

// slow is a store whose fetches take a time before they read.
type slow struct {
	*memory.Store
	takes time.Duration
}

func (s slow) Fetch(ctx context.Context, f relay.Fetch) (relay.Fetched, error) {
	select {
	case <-time.After(s.takes):
		return s.Store.Fetch(ctx, f)
	case <-ctx.Done():
		return relay.Fetched{}, ctx.Err()
	}
}

// An answer that takes longer than IdleExit is none that brought nothing.
func TestASlowDatabaseDoesNotMakeARunIdle(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.cfg.IdleExit = 300 * time.Millisecond
		w.store.Enqueue(event("a", 0))
		w.startOn(w.Context(), slow{w.store, 2 * time.Second}, "r", time.Hour)
		if sum := w.summary("r"); sum.Outcome != relay.Idle || sum.Published != 1 {
			w.Errorf("summary: %+v", sum)
		}
	})
}

func TestCancelSettlesWhatWasAccepted(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.broker().Delay = 500 * time.Millisecond
		w.store.Enqueue(event("a", 0), event("a", 1))
		ctx, cancel := context.WithCancel(w.Context())
		w.start(ctx, "r", time.Hour)
		w.after(700*time.Millisecond, cancel) // accepted, not answered yet
		if sum := w.summary("r"); sum.Outcome != relay.Canceled || sum.Settled != 1 {
			w.Errorf("summary: %+v", sum)
		}
		if n := w.store.Pending(); n != 1 {
			w.Errorf("%d pending, want 1", n)
		}
		if h := w.owners(); len(h) != 0 {
			w.Errorf("shards are still owned: %v", h)
		}
	})
}
