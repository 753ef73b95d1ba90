package nastiest_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/serverless-outbox/serverless-outbox/internal/pgadmin"
	"github.com/serverless-outbox/serverless-outbox/internal/redrive"
	"github.com/serverless-outbox/serverless-outbox/internal/redrive/replay"
	"github.com/serverless-outbox/serverless-outbox/internal/redrive/rows"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/history"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest/awsfake"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

// again records that the events whose ids the query returns may be sent once more.
func (w *world) again(query string) {
	w.t.Helper()
	found, err := w.pool.Query(w.t.Context(), query)
	if err != nil {
		w.t.Fatal(err)
	}
	ids, err := pgx.CollectRows(found, pgx.RowTo[uuid.UUID])
	if err != nil {
		w.t.Fatal(err)
	}
	if len(ids) == 0 {
		w.t.Fatalf("%s: no event", query)
	}
	w.rec.Cause(history.Cause{Kind: history.Replay, Events: ids})
}

const deadEvents = "select event_id from outbox.dead_letters"

func (w *world) redrive(r redrive.Request) redrive.Answer {
	w.t.Helper()
	e, err := rows.New(pgadmin.New(w.pool), rows.Config{RequestID: "test", Batch: 4})
	if err != nil {
		w.t.Fatal(err)
	}
	a, err := e.Run(w.t.Context(), r, time.Now().Add(patience))
	if err != nil || a.Problem != "" {
		w.t.Fatalf("redrive: %v, %+v", err, a)
	}
	return a
}

// settled waits until no event is pending, blocked ones aside, and no released lane has still to be resumed.
func (w *world) settled() {
	w.t.Helper()
	w.until("all events are settled", func() bool {
		return number(w.t, w.pool, `select (select count(*) from outbox.events where sent_at is null)
			+ (select count(*) from outbox.blocked where released_at is not null)`) == 0
	})
}

// numbers returns the n in the bodies of the messages of an aggregate that the broker accepted and did not
// suppress, in order.
func (w *world) numbers(aggregate string) (ns []int) {
	w.t.Helper()
	for a := range w.fake.History() {
		if a.GroupID != outbox.GroupID("order", aggregate) || a.Suppressed {
			continue
		}
		n, err := strconv.Atoi(strings.Trim(a.Body, `{"n:}`))
		if err != nil {
			w.t.Fatalf("body %q", a.Body)
		}
		ns = append(ns, n)
	}
	return ns
}

// flow writes events of the aggregates, as writers do that lock them, until stop
// is called, which returns how many of each.
func (w *world) flow(count, next int) (stop func() int) {
	w.t.Helper()
	end, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for ; ; next++ {
			var events []outbox.Event
			for i := range count {
				events = append(events, event(name("a", i), "orders", fmt.Sprintf(`{"n":%d}`, next)))
			}
			x := w.begin(w.pool)
			for i := range count {
				if _, err := x.tx.Exec(w.t.Context(), "select outbox.lock_aggregate('order', $1::text)", name("a", i)); err != nil {
					w.t.Errorf("lock: %v", err)
				}
			}
			x.write(events...)
			x.commit()
			select {
			case <-tick.C:
			case <-end:
				next++
				return
			}
		}
	}()
	var once sync.Once
	stop = func() int {
		once.Do(func() {
			close(end)
			<-done
		})
		return next
	}
	w.t.Cleanup(func() { stop() })
	return stop
}

// Ten aggregates die at their first event, and live events keep coming: they
// wait behind it, and behind it they stay when it is redriven.
func TestRedriveOfBlockedLanesKeepsOrderWhileEventsFlow(t *testing.T) {
	t.Parallel()
	const aggregates = 10
	for name0, source := range map[string]redrive.Source{"dead letters": redrive.SourceDeadLetters, "blocked": redrive.SourceBlocked} {
		t.Run(name0, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.queue("orders", 0, relay.Block, nil)
			for i := range aggregates {
				w.fault(awsfake.Fault{Kind: awsfake.FailEntry, GroupID: outbox.GroupID("order", name("a", i)), Count: 1, Code: "InvalidMessageContents", SenderFault: true, Message: "no"})
			}
			r := w.start(w.pool, nil)
			stop := w.flow(aggregates, 0)
			w.until("all lanes are on hold", func() bool { return number(t, w.pool, "select count(*) from outbox.blocked") == aggregates })
			if n := w.fake.Tally("orders.fifo").Accepted; n != 0 {
				t.Errorf("%d events were sent past a dead one", n)
			}
			w.again(deadEvents)
			a := w.redrive(redrive.Request{Source: source})
			if a.Redriven != aggregates || a.OutOfOrder != 0 || a.Unconfirmed != 0 || a.More {
				t.Errorf("answer = %+v", a)
			}
			w.until("the dead events are sent", func() bool {
				return number(t, w.pool, "select count(*) from outbox.events where replays > 0 and sent_at is not null") == aggregates
			})
			written := stop()
			w.settled()
			if sum := r.stop(); sum.Strays != 0 {
				t.Errorf("%d events were found by the sweep: the lanes were not read again", sum.Strays)
			}
			for i := range aggregates {
				got := w.numbers(name("a", i))
				if len(got) != written || !slices.IsSorted(got) || got[0] != 0 {
					t.Errorf("aggregate %d: %d of %d events, order %v", i, len(got), written, got)
				}
			}
			w.judge(w.pool)
		})
	}
}

// Where the lane went on, the gap is closed only when that is confirmed.
func TestRedriveOfASkippedEventNeedsConfirmation(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.queue("orders", 0, relay.Skip, nil)
	w.fault(awsfake.Fault{Kind: awsfake.FailEntry, GroupID: outbox.GroupID("order", "a"), Count: 1, Code: "InvalidMessageContents", SenderFault: true, Message: "no"})
	r := w.start(w.pool, nil)
	for n := range 4 {
		w.commit(event("a", "orders", fmt.Sprintf(`{"n":%d}`, n)))
	}
	w.rest()
	a := w.redrive(redrive.Request{Source: redrive.SourceDeadLetters})
	if a.Redriven != 0 || a.Unconfirmed != 1 || len(a.Notes) != 1 || number(t, w.pool, "select count(*) from outbox.dead_letters") != 1 {
		t.Errorf("without confirmation: %+v", a)
	}
	w.again(deadEvents)
	began := time.Now()
	a = w.redrive(redrive.Request{Source: redrive.SourceDeadLetters, Confirm: true})
	if a.Redriven != 1 || a.OutOfOrder != 1 || len(a.Notes) != 1 {
		t.Errorf("confirmed: %+v", a)
	}
	w.settled()
	t.Logf("sent %v after it was redriven", time.Since(began))
	if sum := r.stop(); sum.Strays != 0 {
		t.Errorf("%d events were found by the sweep: the lane was not read again", sum.Strays)
	}
	if got := fmt.Sprint(w.numbers("a")); got != "[1 2 3 0]" {
		t.Errorf("sent %s", got)
	}
	w.judge(w.pool)
}

// failing is a store whose calls fail from the k-th on, for one call without an
// effect or after it: what a process leaves that is killed there.
type failing struct {
	*pgadmin.Store
	left  int
	after bool
}

var errKilled = errors.New("killed")

func (f *failing) around(call func() error) error {
	if f.left--; f.left > 0 {
		return call()
	}
	if f.left == 0 && f.after {
		if err := call(); err != nil {
			return err
		}
	}
	return errKilled
}

func (f *failing) RedriveDeadLetters(ctx context.Context, b rows.Batch) (got []rows.Row, err error) {
	err = f.around(func() (err error) { got, err = f.Store.RedriveDeadLetters(ctx, b); return err })
	return got, err //nolint:wrapcheck // the store's own
}

func (f *failing) StartReplay(ctx context.Context, id uuid.UUID, requestID string, r *redrive.Request) error {
	return f.around(func() error { return f.Store.StartReplay(ctx, id, requestID, r) })
}

func (f *failing) FindReplay(ctx context.Context, id uuid.UUID, limit int) (p replay.Progress, err error) {
	err = f.around(func() (err error) { p, err = f.Store.FindReplay(ctx, id, limit); return err })
	return p, err //nolint:wrapcheck // the store's own
}

func (f *failing) CopyReplay(ctx context.Context, id uuid.UUID, limit int) (s replay.Step, err error) {
	err = f.around(func() (err error) { s, err = f.Store.CopyReplay(ctx, id, limit); return err })
	return s, err //nolint:wrapcheck // the store's own
}

// A redrive is killed before and after each of its transactions, while a relay
// sends what it brings back, and begun again.
func TestRedriveKilledBetweenItsTransactions(t *testing.T) {
	t.Parallel()
	const dead = 10
	for k := 1; k <= 4; k++ {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprint("call ", k, " done ", after), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				w.queue("orders", 0, relay.Block, nil)
				for i := range dead {
					w.fault(awsfake.Fault{Kind: awsfake.FailEntry, GroupID: outbox.GroupID("order", name("a", i)), Count: 1, Code: "InvalidMessageContents", SenderFault: true, Message: "no"})
				}
				r := w.start(w.pool, nil)
				for n := range 3 {
					for i := range dead {
						w.commit(event(name("a", i), "orders", fmt.Sprintf(`{"n":%d}`, n)))
					}
				}
				w.until("all lanes are on hold", func() bool { return number(t, w.pool, "select count(*) from outbox.blocked") == dead })
				w.again(deadEvents)
				e, err := rows.New(&failing{Store: pgadmin.New(w.pool), left: k, after: after}, rows.Config{Batch: 3})
				if err != nil {
					t.Fatal(err)
				}
				a, err := e.Run(t.Context(), redrive.Request{Source: redrive.SourceDeadLetters}, time.Now().Add(patience))
				if err != nil || a.Problem == "" || !a.More || a.Stopped != redrive.StopUnavailable {
					t.Fatalf("killed: %+v, %v", a, err)
				}
				if n := number(t, w.pool, `select count(*) from (select id from outbox.events union all select id from outbox.dead_letters) as e`); n != 3*dead {
					t.Errorf("%d events in all, want %d: each is in one place", n, 3*dead)
				}
				w.redrive(redrive.Request{Source: redrive.SourceDeadLetters})
				w.settled()
				r.stop()
				for i := range dead {
					if got := fmt.Sprint(w.numbers(name("a", i))); got != "[0 1 2]" {
						t.Errorf("aggregate %d: sent %s", i, got)
					}
				}
				if n := number(t, w.pool, "select count(*) from outbox.redrives"); n != dead {
					t.Errorf("%d rows of history, want %d", n, dead)
				}
				w.judge(w.pool)
			})
		}
	}
}

// A session that is terminated in the middle of a redrive leaves nothing of it.
func TestRedriveTerminatedInsideItsTransaction(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.queue("orders", 0, relay.Block, nil)
	for i := range 2 {
		w.fault(awsfake.Fault{Kind: awsfake.FailEntry, GroupID: outbox.GroupID("order", name("a", i)), Count: 1, Code: "InvalidMessageContents", SenderFault: true, Message: "no"})
	}
	r := w.start(w.pool, nil)
	w.commit(event("a0", "orders", `{"n":0}`), event("a1", "orders", `{"n":0}`), event("a1", "orders", `{"n":1}`))
	w.until("both lanes are on hold", func() bool { return number(t, w.pool, "select count(*) from outbox.blocked") == 2 })
	w.again(deadEvents)
	lock := w.begin(w.pool)
	if _, err := lock.tx.Exec(t.Context(), "select from outbox.dead_letters where id = (select max(id) from outbox.dead_letters) for update"); err != nil {
		t.Fatal(err)
	}
	answer := make(chan redrive.Answer, 1)
	go func() {
		e, err := rows.New(pgadmin.New(w.pool), rows.Config{})
		if err != nil {
			t.Error(err)
		}
		a, err := e.Run(t.Context(), redrive.Request{Source: redrive.SourceDeadLetters}, time.Now().Add(patience))
		if err != nil {
			t.Error(err)
		}
		answer <- a
	}()
	w.until("it is terminated after its first event", func() bool {
		return number(t, w.pool, "select count(pg_terminate_backend(pid)) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock' and query like '%redrive_dead_letters%'") == 1
	})
	if a := <-answer; a.Problem == "" || a.Redriven != 0 || a.Stopped != redrive.StopUnavailable {
		t.Errorf("terminated: %+v", a)
	}
	if n := number(t, w.pool, "select count(*) from outbox.dead_letters"); n != 2 {
		t.Errorf("%d dead letters, want both", n)
	}
	if err := lock.tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.redrive(redrive.Request{Source: redrive.SourceDeadLetters})
	w.settled()
	r.stop()
	if got := fmt.Sprint(w.numbers("a0"), w.numbers("a1")); got != "[0] [0 1]" {
		t.Errorf("sent %s", got)
	}
	w.judge(w.pool)
}

// Two redrives at once, while two relays share the shards.
func TestTwoRedrivesAtOnceBesideRelays(t *testing.T) {
	t.Parallel()
	const aggregates = 30
	w := newWorld(t)
	w.queue("orders", 0, relay.Block, nil)
	for i := range aggregates {
		w.fault(awsfake.Fault{Kind: awsfake.FailEntry, GroupID: outbox.GroupID("order", name("a", i)), Count: 1, Code: "InvalidMessageContents", SenderFault: true, Message: "no"})
	}
	for range 2 {
		w.start(w.pool, func(c *relay.Config) { c.Relays = 2 })
	}
	stop := w.flow(aggregates, 0)
	w.until("all lanes are on hold", func() bool { return number(t, w.pool, "select count(*) from outbox.blocked") == aggregates })
	w.again(deadEvents)
	var mu sync.Mutex
	total := 0
	var group sync.WaitGroup
	for _, source := range []redrive.Source{redrive.SourceDeadLetters, redrive.SourceDeadLetters, redrive.SourceBlocked} {
		group.Go(func() {
			e, err := rows.New(pgadmin.New(w.pool), rows.Config{Batch: 4})
			if err != nil {
				t.Error(err)
				return
			}
			a, err := e.Run(t.Context(), redrive.Request{Source: source}, time.Now().Add(patience))
			if err != nil || a.Problem != "" {
				t.Errorf("redrive: %v, %+v", err, a)
			}
			mu.Lock()
			defer mu.Unlock()
			total += a.Redriven
		})
	}
	group.Wait()
	if total != aggregates {
		t.Errorf("%d events were redriven, want %d", total, aggregates)
	}
	written := stop()
	w.settled()
	for i := range aggregates {
		if got := w.numbers(name("a", i)); len(got) != written || !slices.IsSorted(got) {
			t.Errorf("aggregate %d: %d of %d events, order %v", i, len(got), written, got)
		}
	}
	w.judge(w.pool)
}

// What was sent goes again while new events come: the copies of an aggregate in
// their order, with nothing between them, and inside the five minutes in which
// the broker drops what it knows.
func TestReplayUnderLoadKeepsOrderAndIsNotDroppedAsADuplicate(t *testing.T) {
	t.Parallel()
	const aggregates, before = 5, 20
	w := newWorld(t)
	w.queue("orders", 0, relay.Block, nil)
	r := w.start(w.pool, nil)
	for n := range before {
		for i := range aggregates {
			w.commit(event(name("a", i), "orders", fmt.Sprintf(`{"n":%d}`, n)))
		}
	}
	w.rest()
	w.again("select event_id from outbox.events")
	last := number(t, w.pool, "select max(id) from outbox.events")
	stop := w.flow(aggregates, before)
	w.until("new events flow", func() bool { return number(t, w.pool, "select count(*) from outbox.events") > last+2*aggregates })
	e, err := replay.New(pgadmin.New(w.pool), replay.Config{RequestID: "test", SearchLimit: 30})
	if err != nil {
		t.Fatal(err)
	}
	a, err := e.Run(t.Context(), redrive.Request{Action: redrive.ActionReplay, AggregateType: "order", IDTo: int64(last), Rate: 200}, time.Now().Add(patience))
	if err != nil || a.Redriven != aggregates*before || a.More || a.Problem != "" || a.Failed != 0 {
		t.Fatalf("replay: %v, %+v", err, a)
	}
	high := number(t, w.pool, "select count(*) from outbox.events")
	w.until("new events flow after it", func() bool { return number(t, w.pool, "select count(*) from outbox.events") > high+2*aggregates })
	written := stop()
	w.settled()
	r.stop()
	copies := map[string][]int{}
	live := map[string][]int{}
	ended := map[string]bool{}
	for x := range w.fake.History() {
		n, err := strconv.Atoi(strings.Trim(x.Body, `{"n:}`))
		if err != nil || x.Suppressed {
			t.Fatalf("%+v", x)
		}
		group := x.GroupID
		if of := x.Attributes[outbox.AttributeReplay]; of == "" {
			live[group] = append(live[group], n)
			ended[group] = len(copies[group]) > 0
			continue
		}
		if ended[group] {
			t.Errorf("%s: copy %d comes after a newer event", group, n)
		}
		if !strings.HasSuffix(x.DeduplicationID, "#r1") {
			t.Errorf("%s: copy %d has the deduplication id %s", group, n, x.DeduplicationID)
		}
		copies[group] = append(copies[group], n)
	}
	for i := range aggregates {
		group := outbox.GroupID("order", name("a", i))
		if got := copies[group]; len(got) != before || !slices.IsSorted(got) {
			t.Errorf("%s: copies %v", group, got)
		}
		if got := live[group]; len(got) != written || !slices.IsSorted(got) || !ended[group] {
			t.Errorf("%s: %d of %d events, order %v", group, len(got), written, got)
		}
	}
	if v := w.judge(w.pool); v.Replayed != aggregates*before {
		t.Errorf("%d events were replayed", v.Replayed)
	}
}

// A replay is killed before and after each of its transactions and goes on under
// its token.
func TestReplayKilledBetweenItsTransactions(t *testing.T) {
	t.Parallel()
	const aggregates, events = 3, 4
	w := newWorld(t)
	w.queue("orders", 0, relay.Block, nil)
	r := w.start(w.pool, nil)
	for n := range events {
		for i := range aggregates {
			w.commit(event(name("a", i), "orders", fmt.Sprintf(`{"n":%d}`, n)))
		}
	}
	w.rest()
	// Start, two searches, a copy of each aggregate, and the end.
	kills := 0
	for k := 1; ; k++ {
		ended := true
		for _, after := range []bool{false, true} {
			w.again("select event_id from outbox.events where replay_of is null")
			token := ""
			config := replay.Config{SearchLimit: 8 + (kills+1)*aggregates*events, Progress: func(a redrive.Answer, _ replay.Progress) { token = a.Token }}
			e, err := replay.New(&failing{Store: pgadmin.New(w.pool), left: k, after: after}, config)
			if err != nil {
				t.Fatal(err)
			}
			request := redrive.Request{Action: redrive.ActionReplay, AggregateType: "order", Token: uuid.NewString()}
			a, err := e.Run(t.Context(), request, time.Now().Add(patience))
			if err != nil {
				t.Fatal(err)
			}
			copied := a.Redriven
			if a.Problem != "" {
				ended = false
				kills++
				if !a.More || a.Token != request.Token || token != "" && token != request.Token {
					t.Fatalf("killed: %+v", a)
				}
				e, err = replay.New(pgadmin.New(w.pool), config)
				if err != nil {
					t.Fatal(err)
				}
				if a, err = e.Run(t.Context(), request, time.Now().Add(patience)); err != nil || a.More {
					t.Fatalf("again: %+v, %v", a, err)
				}
				copied += a.Redriven
			}
			if n := number(t, w.pool, "select count(*) from outbox.redrives where redrive_id > coalesce((select max(redrive_id) from outbox.redrives), 0) - $1", aggregates*events); n != aggregates*events {
				t.Fatalf("%d rows of history", n)
			}
			if copied > aggregates*events {
				t.Errorf("killed at call %d: %d copies were told of", k, copied)
			}
		}
		if ended {
			break
		}
	}
	w.settled()
	r.stop()
	runs := number(t, w.pool, "select count(*) from outbox.replays")
	if n := number(t, w.pool, "select count(*) from outbox.events where replay_of is not null"); n != runs*aggregates*events || kills < 8 {
		t.Errorf("%d copies of %d replays with %d kills, want %d", n, runs, kills, runs*aggregates*events)
	}
	for i := range aggregates {
		want := slices.Repeat([]int{0, 1, 2, 3}, runs+1)
		if got := w.numbers(name("a", i)); !slices.Equal(got, want) {
			t.Errorf("aggregate %d: sent %v", i, got)
		}
	}
	w.judge(w.pool)
}
