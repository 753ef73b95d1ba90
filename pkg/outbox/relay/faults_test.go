package relay_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/memory"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

// view is one relay's connection to a shared store, which can be cut.
type view struct {
	*memory.Store
	cut atomic.Bool
}

var errCut = errors.New("connection refused")

func (v *view) gate() error {
	if v.cut.Load() {
		return errCut
	}
	return nil
}

func (v *view) Renew(ctx context.Context, r relay.Renewal) (relay.Lease, error) {
	if err := v.gate(); err != nil {
		return relay.Lease{}, err
	}
	return v.Store.Renew(ctx, r)
}

func (v *view) Fetch(ctx context.Context, f relay.Fetch) (relay.Fetched, error) {
	if err := v.gate(); err != nil {
		return relay.Fetched{}, err
	}
	return v.Store.Fetch(ctx, f)
}

func (v *view) Settle(ctx context.Context, id uuid.UUID, s relay.Settlement) (relay.Settled, error) {
	if err := v.gate(); err != nil {
		return relay.Settled{}, err
	}
	return v.Store.Settle(ctx, id, s)
}

func (v *view) Leave(ctx context.Context, id uuid.UUID, era int64, p relay.Position) error {
	if err := v.gate(); err != nil {
		return err
	}
	return v.Store.Leave(ctx, id, era, p)
}

func TestDatabaseOutageStopsSendingWhenTheLeaseLapsesAndLosesNothing(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		v := &view{Store: w.store}
		for n := range 100 {
			w.store.Enqueue(event("a", n))
		}
		var open atomic.Bool
		w.broker().Judge = func(int, []outbox.Message, int) outbox.Result {
			if open.Load() {
				return outbox.Result{Class: outbox.Accepted}
			}
			return outbox.Result{Class: outbox.Throttled, Code: "RequestThrottled"}
		}
		w.startOn(w.Context(), v, "r", 60*time.Second)
		pass(time.Second)
		v.cut.Store(true)
		pass(8 * time.Second) // past the lease
		calls := w.broker().Calls()
		pass(10 * time.Second)
		if n := w.broker().Calls(); n != calls {
			w.Errorf("%d calls after the lease had lapsed", n-calls)
		}
		open.Store(true)
		v.cut.Store(false)
		sum := w.summary("r")
		w.inOrder(w.broker(), 100, "a")
		w.nothingPending()
		if sum.Outcome != relay.Deadline || sum.RenewErrors == 0 || sum.Withheld == 0 {
			w.Errorf("summary: %+v", sum)
		}
	})
}

func TestRelayThatLostItsLeaseSendsAndMarksNothingMore(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.cfg.JoinWindow = 100 * time.Second
		w.broker().Delay = 20 * time.Millisecond
		v := &view{Store: w.store}
		w.startOn(w.Context(), v, "old", 60*time.Second)
		for n := range 300 {
			w.store.Enqueue(event("a", n))
		}
		pass(2 * time.Second)
		v.cut.Store(true)
		w.start(w.Context(), "new", 60*time.Second)
		pass(30 * time.Second)
		v.cut.Store(false)
		if sum := w.summary("old"); sum.Outcome != relay.LeaseLost {
			w.Errorf("old: %+v", sum)
		}
		w.inOrder(w.broker(), 300, "a")
		w.nothingPending()
		resent := 0
		for _, a := range w.broker().Log() {
			if a.Suppressed {
				resent++
			}
		}
		// What the old relay had sent and could not mark goes once more.
		if resent == 0 || resent > 200 {
			w.Errorf("%d events were sent twice", resent)
		}
	})
}

func TestSettleThatFailsIsTriedAgainWithoutSendingAgain(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		failures := 0
		w.store.Before = func(_ context.Context, step string) error {
			if step == "settle" && failures < 10 {
				failures++
				return errCut
			}
			return nil
		}
		for n := range 50 {
			w.store.Enqueue(event("a", n))
		}
		w.start(w.Context(), "r", 20*time.Second)
		sum := w.summary("r")
		w.inOrder(w.broker(), 50, "a")
		w.nothingPending()
		if n := len(w.broker().Log()); n != 50 || sum.SettleErrors != 10 {
			w.Errorf("%d sends, %d failed settles", n, sum.SettleErrors)
		}
	})
}

func TestSettleWhoseAnswerIsLostIsHarmless(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		calls := 0
		w.store.After = func(_ context.Context, step string) error {
			if step == "settle" {
				if calls++; calls%2 == 1 {
					return errCut
				}
			}
			return nil
		}
		for n := range 20 {
			w.store.Enqueue(event("a", n))
		}
		w.start(w.Context(), "r", 20*time.Second)
		w.summary("r")
		w.inOrder(w.broker(), 20, "a")
		w.nothingPending()
		if n := len(w.broker().Log()); n != 20 {
			w.Errorf("%d sends of 20 events", n)
		}
	})
}

func TestRenewalWhoseAnswerIsLostKeepsTheShards(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		calls := 0
		w.store.After = func(_ context.Context, step string) error {
			if step == "renew" {
				if calls++; calls%3 != 0 {
					return errCut
				}
			}
			return nil
		}
		w.start(w.Context(), "r", 30*time.Second)
		for n := range 100 {
			w.store.Enqueue(event("a", n))
			pass(100 * time.Millisecond)
		}
		w.summary("r")
		w.inOrder(w.broker(), 100, "a")
		w.nothingPending()
	})
}

func TestLateCommitOfMoreThanOneFetchKeepsOrder(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.cfg.FetchLimit = 20
		w.start(w.Context(), "r", 60*time.Second)
		pass(100 * time.Millisecond)
		big := w.store.Begin()
		for n := range 500 {
			big.Enqueue(event("a", n), event("b", n))
		}
		w.store.Enqueue(event("other", 0))
		pass(time.Second)
		// The writer of a and b goes on as soon as the large transaction is in.
		big.Commit()
		for n := range 50 {
			w.store.Enqueue(event("a", 500+n), event("b", 500+n))
			pass(3 * time.Millisecond)
		}
		w.summary("r")
		w.inOrder(w.broker(), 550, "a", "b")
		w.nothingPending()
	})
}

func TestEveryFailureSubsetOfABatchKeepsOrderAndLosesNothing(t *testing.T) {
	t.Parallel()
	classes := []outbox.Class{outbox.Transient, outbox.Throttled, outbox.Unknown, outbox.Unavailable}
	for subset := 1; subset < 1<<10; subset++ {
		inWorld(t, func(w *world) {
			w.cfg.IdleExit = 300 * time.Millisecond
			var names []string
			group := map[string]int{}
			for i := range 10 {
				a := fmt.Sprint("a", i)
				names = append(names, a)
				group[groupOf(t, a)] = i
				w.store.Enqueue(event(a, 0), event(a, 1))
			}
			failed := map[string]bool{}
			w.broker().Judge = func(_ int, msgs []outbox.Message, i int) outbox.Result {
				n := group[msgs[i].GroupID]
				if subset&(1<<n) != 0 && !failed[msgs[i].DeduplicationID] && strings.Contains(msgs[i].Body, `"n":0}`) {
					failed[msgs[i].DeduplicationID] = true
					return outbox.Result{Class: classes[(n+subset)%len(classes)], Err: errCut, Code: "Test"}
				}
				return outbox.Result{Class: outbox.Accepted}
			}
			w.start(w.Context(), "r", 10*time.Second)
			w.summary("r")
			w.inOrder(w.broker(), 2, names...)
			w.nothingPending()
		})
		if t.Failed() {
			t.Fatalf("subset %010b", subset)
		}
	}
}

func TestDeadlineAtAnyMomentLeavesNothingUnsettled(t *testing.T) {
	t.Parallel()
	for cut := range 60 {
		inWorld(t, func(w *world) {
			w.broker().Delay = 40 * time.Millisecond
			for n := range 10 {
				w.store.Enqueue(event("a", n), event("b", n))
			}
			start := time.Now()
			w.start(w.Context(), "r", time.Duration(cut)*10*time.Millisecond)
			sum := w.summary("r")
			for _, a := range w.broker().Log() {
				if begun := a.At.Add(-w.broker().Delay).Sub(start); begun > time.Duration(cut)*10*time.Millisecond {
					w.Errorf("cut at %d ms: a call began at %v", cut*10, begun)
				}
			}
			accepted, sent := len(w.broker().Log()), len(w.store.Sent())
			if accepted != sent || sum.Settled != int64(sent) {
				w.Errorf("cut at %d ms: %d accepted, %d marked, summary %+v", cut*10, accepted, sent, sum)
			}
			w.start(w.Context(), "r2", 10*time.Second)
			w.summary("r2")
			w.inOrder(w.broker(), 10, "a", "b")
			if n := len(w.broker().Log()); n != 20 {
				w.Errorf("cut at %d ms: %d sends of 20 events", cut*10, n)
			}
		})
	}
}
