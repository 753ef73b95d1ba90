package pgadmin_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/serverless-outbox/serverless-outbox/internal/redrive"
	"github.com/serverless-outbox/serverless-outbox/internal/redrive/replay"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/pgstore"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

// sentEvents writes events of the aggregates in turn and marks them as sent.
func sentEvents(t *testing.T, pool *pgxpool.Pool, store *store, relayID uuid.UUID, aggregates ...string) []int64 {
	t.Helper()
	ids := make([]int64, 0, len(aggregates))
	for _, a := range aggregates {
		ids = append(ids, insert(t, pool, a))
	}
	settle(t, store, relayID, accept(ids...))
	return ids
}

// search begins a replay and searches for its events.
func search(t *testing.T, store *store, r redrive.Request, limit int) (uuid.UUID, replay.Progress) {
	t.Helper()
	id := uuid.New()
	if err := store.StartReplay(t.Context(), id, "me", &r); err != nil {
		t.Fatalf("start: %v", err)
	}
	for {
		p, err := store.FindReplay(t.Context(), id, limit)
		if err != nil {
			t.Fatalf("find: %v", err)
		}
		if p.Searched {
			return id, p
		}
	}
}

func copyNext(t *testing.T, store *store, id uuid.UUID, limit int) replay.Step {
	t.Helper()
	step, err := store.CopyReplay(t.Context(), id, limit)
	if err != nil {
		t.Fatalf("copy: %v", err)
	}
	return step
}

// copies are the copies of a replay, in the order of their ids: what each is a
// copy of and its generation.
const copies = `select coalesce(string_agg(replay_of || '#' || replays, ' ' order by id), '') from outbox.events where replay_of is not null and sent_at is null`

func archive(t *testing.T, pool *pgxpool.Pool, id int64) {
	t.Helper()
	exec(t, pool, `insert into outbox.archive (id, created_at, sent_at, event_id, replays, aggregate_type, aggregate_id, event_type, destination, payload, headers, message_id)
		select id, created_at, sent_at, event_id, replays, aggregate_type, aggregate_id, event_type, destination, payload, headers, message_id
		from outbox.events where id = $1::bigint`, id)
	exec(t, pool, "delete from outbox.events where id = $1::bigint", id)
}

func TestReplayCopiesWholeAggregatesInOrder(t *testing.T) {
	t.Parallel()
	for name, mode := range modes() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool, store := open(t, mode)
			relayID := join(t, store)
			ids := sentEvents(t, pool, store, relayID, "a", "b", "a", "b", "a")
			archive(t, pool, ids[0])
			archive(t, pool, ids[1])
			pending := insert(t, pool, "a")
			before := query[string](t, pool, "select string_agg(e::text, ';' order by id) from outbox.events e") + query[string](t, pool, "select string_agg(a::text, ';' order by id) from outbox.archive a")

			found, next, err := store.CountReplay(t.Context(), &redrive.Request{AggregateType: "order"}, 0, 1000)
			if found != 5 || next != 0 || err != nil {
				t.Errorf("count = %d, %d, %v", found, next, err)
			}
			id, p := search(t, store, redrive.Request{AggregateType: "order"}, 2)
			if p.Found != 5 || p.Through != pending {
				t.Errorf("search = %+v", p)
			}
			first := copyNext(t, store, id, 10)
			if first.Outcome != replay.Copied || first.Count != 3 || first.AggregateID != "a" || first.AggregateType != "order" {
				t.Errorf("first step = %+v", first)
			}
			if second := copyNext(t, store, id, 10); second.Outcome != replay.Copied || second.Count != 2 || second.AggregateID != "b" {
				t.Errorf("second step = %+v", second)
			}
			for range 2 {
				if end := copyNext(t, store, id, 10); end.Outcome != replay.Ended {
					t.Errorf("end = %+v", end)
				}
			}
			if got, want := query[string](t, pool, copies), fmt.Sprintf("%d#1 %d#1 %d#1 %d#1 %d#1", ids[0], ids[2], ids[4], ids[1], ids[3]); got != want {
				t.Errorf("copies = %s, want %s", got, want)
			}
			after := query[string](t, pool, "select string_agg(e::text, ';' order by id) from outbox.events e where replay_of is null") + query[string](t, pool, "select string_agg(a::text, ';' order by id) from outbox.archive a")
			if after != before {
				t.Errorf("the originals changed from\n%s to\n%s", before, after)
			}
			if got := query[int](t, pool, `select count(*) from outbox.events c
				join (select * from outbox.events union all select id, created_at, sent_at, replay_of, event_id, replays, payload_bytes, shard, aggregate_type, aggregate_id, event_type, destination, payload, headers, message_id, sequence_number from outbox.archive) o on o.id = c.replay_of
				join outbox.redrives r on r.copy_id = c.id and r.row_id = o.id and r.event_id = o.event_id and r.generation = c.replays and r.source = 'replay' and r.request_id = 'me'
				where c.event_id = o.event_id and c.shard = o.shard and c.aggregate_id = o.aggregate_id and c.event_type = o.event_type and c.destination = o.destination
				  and c.payload::text = o.payload::text and c.headers::text = o.headers::text and c.created_at > o.created_at`); got != 5 {
				t.Errorf("%d copies are like their originals and noted, want 5", got)
			}
			got := fetch(t, store, relay.Fetch{Scans: []relay.Scan{{After: pending, Limit: 10}}, Shards: allShards()})
			if r := got.Scans[0][0].Record; r == nil || r.ReplayOf != ids[0] || r.Replays != 1 {
				t.Errorf("record = %+v", r)
			}
		})
	}
}

func TestSecondReplayIsTheNextGenerationAndCopiesNoCopies(t *testing.T) {
	t.Parallel()
	pool := outboxtest.DB(t)
	store := newStore(pool)
	relayID := join(t, store)
	ids := sentEvents(t, pool, store, relayID, "a")
	for generation := 1; generation <= 3; generation++ {
		id, p := search(t, store, redrive.Request{AggregateType: "order"}, 100)
		if p.Found != 1 {
			t.Fatalf("found %d events, want the original alone", p.Found)
		}
		copyNext(t, store, id, 10)
		if got := query[string](t, pool, copies); got != fmt.Sprintf("%d#%d", ids[0], generation) {
			t.Errorf("copy = %s", got)
		}
		// Its copy is sent, archived, or dead: its generation counts in any case.
		last := query[int64](t, pool, "select max(id) from outbox.events where sent_at is null")
		switch generation {
		case 1:
			settle(t, store, relayID, accept(last))
			exec(t, pool, "delete from outbox.archive")
			archive(t, pool, last)
			exec(t, pool, "update outbox.archive set replay_of = $1::bigint", ids[0])
		case 2:
			dead := relay.DeadLetter{ID: last, Replays: generation, Attempts: 3, Code: "C", Reason: "R", Block: true}
			if got := settle(t, store, relayID, relay.Settlement{DeadLetters: []relay.DeadLetter{dead}}); got.DeadLetters != 1 {
				t.Fatalf("the copy is not dead: %+v", got)
			}
			if got := query[int64](t, pool, "select replay_of from outbox.dead_letters"); got != ids[0] {
				t.Errorf("the dead copy is one of %d", got)
			}
		}
	}
	redriveDead(t, store, redrive.Request{})
	if got := query[string](t, pool, copies); got != fmt.Sprintf("%d#4 %d#3", ids[0], ids[0]) {
		t.Errorf("copies = %s, want the redriven one in a generation of its own", got)
	}
}

func TestFiltersOfAReplay(t *testing.T) {
	t.Parallel()
	pool := outboxtest.DB(t)
	store := newStore(pool)
	relayID := join(t, store)
	a, b, c := insert(t, pool, "a"), insertTo(t, pool, "other", "b"), insert(t, pool, "c")
	exec(t, pool, "update outbox.events set event_type = 'order.paid' where id = $1::bigint", c)
	settle(t, store, relayID, accept(a, b, c))
	archive(t, pool, b)
	insert(t, pool, "a") // not sent yet
	at := query[time.Time](t, pool, "select created_at from outbox.archive where id = $1::bigint", b)
	event := eventIDOf(t, pool, "archive", b)
	for what, tc := range map[string]struct {
		r    redrive.Request
		want []int64
	}{
		"event ids":            {redrive.Request{EventIDs: []uuid.UUID{event, uuid.New()}}, []int64{b}},
		"event ids and others": {redrive.Request{EventIDs: []uuid.UUID{event}, EventType: "order.paid"}, nil},
		"destination":          {redrive.Request{Destination: "other"}, []int64{b}},
		"aggregate":            {redrive.Request{AggregateType: "order", AggregateID: "c"}, []int64{c}},
		"type":                 {redrive.Request{AggregateType: "order"}, []int64{a, b, c}},
		"event type":           {redrive.Request{EventType: "order.paid"}, []int64{c}},
		"from":                 {redrive.Request{From: at}, []int64{b, c}},
		"to":                   {redrive.Request{To: at}, []int64{a}},
		"ids":                  {redrive.Request{IDFrom: b, IDTo: b}, []int64{b}},
		"ids from":             {redrive.Request{IDFrom: b}, []int64{b, c}},
		"ids to":               {redrive.Request{IDTo: b}, []int64{a, b}},
	} {
		total := 0
		for after := int64(0); ; {
			found, next, err := store.CountReplay(t.Context(), &tc.r, after, 2)
			if err != nil {
				t.Fatal(err)
			}
			if total, after = total+found, next; next == 0 {
				break
			}
		}
		if total != len(tc.want) {
			t.Errorf("count by %s = %d, want %d", what, total, len(tc.want))
		}
		id, p := search(t, store, tc.r, 2)
		var ids []int64
		rows, err := pool.Query(t.Context(), "select id from outbox.replay_events where replay_id = $1::uuid order by id", id.String())
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			var n int64
			if err := rows.Scan(&n); err != nil {
				t.Fatal(err)
			}
			ids = append(ids, n)
		}
		if wantIDs(t, "found by "+what, ids, tc.want...); p.Found != len(tc.want) {
			t.Errorf("found by %s = %d, want %d", what, p.Found, len(tc.want))
		}
	}
}

func TestReplayThatInterleavesGoesByID(t *testing.T) {
	t.Parallel()
	pool := outboxtest.DB(t)
	store := newStore(pool)
	ids := sentEvents(t, pool, store, join(t, store), "a", "a", "b", "a", "a", "a")
	id, _ := search(t, store, redrive.Request{AggregateType: "order", Interleave: true, Redirect: "new"}, 100)
	for _, want := range []int{2, 1, 2, 1} {
		if step := copyNext(t, store, id, 2); step.Count != want || step.Outcome != replay.Copied {
			t.Errorf("step = %+v, want %d", step, want)
		}
	}
	want := fmt.Sprintf("%d#1 %d#1 %d#1 %d#1 %d#1 %d#1", ids[0], ids[1], ids[2], ids[3], ids[4], ids[5])
	if got := query[string](t, pool, copies); got != want {
		t.Errorf("copies = %s, want %s", got, want)
	}
	if got := query[int](t, pool, "select count(*) from outbox.events where destination = 'new'"); got != len(ids) {
		t.Errorf("%d copies go to the new destination", got)
	}
}

func TestAggregateAboveTheLimitIsLeftOut(t *testing.T) {
	t.Parallel()
	pool := outboxtest.DB(t)
	store := newStore(pool)
	ids := sentEvents(t, pool, store, join(t, store), "a", "a", "b", "a")
	id, _ := search(t, store, redrive.Request{AggregateType: "order"}, 100)
	if step := copyNext(t, store, id, 2); step.Outcome != replay.Large || step.Count != 3 || step.AggregateID != "a" || step.EventID == uuid.Nil {
		t.Errorf("step = %+v", step)
	}
	exec(t, pool, "delete from outbox.events where id = $1::bigint", ids[2])
	if step := copyNext(t, store, id, 2); step.Outcome != replay.Gone || step.Count != 1 {
		t.Errorf("step = %+v", step)
	}
	if step := copyNext(t, store, id, 2); step.Outcome != replay.Ended {
		t.Errorf("step = %+v", step)
	}
	if got := query[string](t, pool, "select found || ' ' || copied || ' ' || failed || ' ' || (ended_at is not null) from outbox.replays"); got != "4 0 4 true" {
		t.Errorf("replay = %s", got)
	}
}

// The second to ask waits for the first, and copies what that left.
func TestFourRunnersOfOneReplayCopyEachEventOnce(t *testing.T) {
	t.Parallel()
	pool := outboxtest.DB(t, outboxtest.MaxConns(8))
	store := newStore(pool)
	var aggregates []string
	for i := range 90 {
		aggregates = append(aggregates, fmt.Sprint(i%30))
	}
	sentEvents(t, pool, store, join(t, store), aggregates...)
	id := uuid.New()
	var mu sync.Mutex
	total := 0
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			if err := store.StartReplay(t.Context(), id, "me", &redrive.Request{AggregateType: "order"}); err != nil {
				t.Errorf("start: %v", err)
			}
			for searched := false; !searched; {
				p, err := store.FindReplay(t.Context(), id, 7)
				if err != nil {
					t.Errorf("find: %v", err)
					return
				}
				searched = p.Searched
			}
			for {
				step, err := store.CopyReplay(t.Context(), id, 10)
				if err != nil {
					t.Errorf("copy: %v", err)
					return
				}
				if step.Outcome == replay.Ended {
					return
				}
				mu.Lock()
				total += step.Count
				mu.Unlock()
			}
		})
	}
	group.Wait()
	if n := query[int](t, pool, "select count(distinct replay_of) from outbox.events where replay_of is not null"); n != 90 || total != 90 {
		t.Errorf("%d events were copied, %d copies told, want 90", n, total)
	}
	if n := query[int](t, pool, "select count(*) from outbox.events where replay_of is not null"); n != 90 {
		t.Errorf("%d copies, want 90", n)
	}
}

// Newer events of the aggregate wait until the copies are committed, and get
// higher ids.
func TestWritersOfTheAggregateWaitForItsCopies(t *testing.T) {
	t.Parallel()
	pool := outboxtest.DB(t, outboxtest.MaxConns(6))
	store := newStore(pool)
	sentEvents(t, pool, store, join(t, store), "a", "a", "b")
	id, _ := search(t, store, redrive.Request{AggregateType: "order"}, 100)

	// An open transaction has written to the aggregate: the copies wait for it.
	writer := begin(t, pool)
	if _, err := writer.Exec(t.Context(), "select outbox.lock_aggregate('order', 'a')"); err != nil {
		t.Fatal(err)
	}
	older := insert(t, writer, "a")
	copied := make(chan replay.Step, 1)
	go func() {
		step, err := store.CopyReplay(t.Context(), id, 10)
		if err != nil {
			t.Errorf("copy: %v", err)
		}
		copied <- step
	}()
	waitBlocked(t, pool)
	if err := writer.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if step := <-copied; step.Count != 2 {
		t.Fatalf("step = %+v", step)
	}
	if first := query[int64](t, pool, "select min(id) from outbox.events where replay_of is not null"); first < older {
		t.Errorf("copy %d comes before row %d, which was written first", first, older)
	}

	// The next step is not committed yet: a writer of its aggregate waits.
	step := begin(t, pool)
	if _, err := step.Exec(t.Context(), "select outbox.copy_replay($1::uuid, 10)", id.String()); err != nil {
		t.Fatal(err)
	}
	newer := make(chan int64, 1)
	go func() {
		tx, err := pool.Begin(t.Context())
		if err != nil {
			t.Errorf("begin: %v", err)
			newer <- 0
			return
		}
		defer func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }()
		var row int64
		if _, err = tx.Exec(t.Context(), "select outbox.lock_aggregate('order', 'b')"); err == nil {
			err = tx.QueryRow(t.Context(), "insert into outbox.events (aggregate_type, aggregate_id, event_type, payload) values ('order', 'b', 'x', '{}') returning id").Scan(&row)
		}
		if err = errors.Join(err, tx.Commit(t.Context())); err != nil {
			t.Errorf("write: %v", err)
		}
		newer <- row
	}()
	waitBlocked(t, pool)
	if err := step.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	row := <-newer
	if last := query[int64](t, pool, "select max(id) from outbox.events where replay_of is not null"); row <= last {
		t.Errorf("row %d was written after copy %d", row, last)
	}
}

func TestReplayThatIsNotThere(t *testing.T) {
	t.Parallel()
	pool := outboxtest.DB(t)
	store := newStore(pool)
	if _, err := store.FindReplay(t.Context(), uuid.New(), 10); !errors.Is(err, replay.ErrNotFound) {
		t.Errorf("find = %v", err)
	}
	if _, err := store.CopyReplay(t.Context(), uuid.New(), 10); !errors.Is(err, replay.ErrNotFound) {
		t.Errorf("copy = %v", err)
	}
	id := uuid.New()
	if err := store.StartReplay(t.Context(), id, "me", &redrive.Request{AggregateType: "x"}); err != nil {
		t.Fatal(err)
	}
	if _, err := store.CopyReplay(t.Context(), id, 10); err == nil {
		t.Error("copied before the search was over")
	}
}

// A login with the role of redrive can replay, and with that of a relay cannot.
func TestRolesThatMayReplay(t *testing.T) {
	t.Parallel()
	// Direct: the pooler of the tests knows one login.
	pool := outboxtest.DB(t, outboxtest.Direct())
	sentEvents(t, pool, newStore(pool), join(t, newStore(pool)), "a")
	store := newStore(login(t, pool, "outbox_redrive"))
	if found, _, err := store.CountReplay(t.Context(), &redrive.Request{AggregateType: "order"}, 0, 10); found != 1 || err != nil {
		t.Errorf("count = %d, %v", found, err)
	}
	id, _ := search(t, store, redrive.Request{AggregateType: "order"}, 100)
	if step := copyNext(t, store, id, 10); step.Count != 1 {
		t.Errorf("step = %+v", step)
	}
	if err := newStore(login(t, pool, "outbox_relay")).StartReplay(t.Context(), uuid.New(), "", &redrive.Request{}); !errors.Is(err, pgstore.ErrDenied) {
		t.Errorf("a relay that starts a replay = %v, want ErrDenied", err)
	}
}
