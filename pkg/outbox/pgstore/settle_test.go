package pgstore_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/pgstore"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

func TestSettleMarksBuriesAndHolds(t *testing.T) {
	t.Parallel()
	for name, mode := range modes() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool, store := open(t, mode)
			id := join(t, store)
			sent, skipped, held, held2 := insert(t, pool, "a"), insert(t, pool, "b"), insert(t, pool, "c"), insert(t, pool, "c")
			waiting := insert(t, pool, "c")
			s := accept(sent, 999)
			s.DeadLetters = []relay.DeadLetter{
				{ID: held2, Attempts: 1, Code: "c2", Reason: "r2", Block: true},
				{ID: held, Attempts: 3, Code: "c", Reason: "broken \xff and \x00", Block: true},
				{ID: skipped, Attempts: 2, Code: "InvalidParameter", Reason: "refused"},
			}
			if got := settle(t, store, id, identified(t, pool, s)); got != (relay.Settled{Accepted: 1, DeadLetters: 3}) {
				t.Errorf("settled = %+v, want 1 accepted and 3 dead", got)
			}
			if got := settle(t, store, id, identified(t, pool, s)); got != (relay.Settled{}) {
				t.Errorf("settled again = %+v, want nothing", got)
			}
			if got := query[string](t, pool, "select message_id || sequence_number from outbox.events where sent_at is not null and id = $1::bigint", sent); got != fmt.Sprintf("m%ds", sent) {
				t.Errorf("sent row = %q", got)
			}
			if got := query[string](t, pool, "select string_agg(id::text, ',' order by id) from outbox.events where sent_at is null"); got != fmt.Sprint(waiting) {
				t.Errorf("unsent rows = %s, want %d", got, waiting)
			}
			if got := query[string](t, pool, "select string_agg(id || ' ' || attempts || ' ' || code || ' ' || (payload->>'a'), ',' order by id) from outbox.dead_letters"); got !=
				fmt.Sprintf("%d 2 InvalidParameter 2,%d 3 c 2,%d 1 c2 2", skipped, held, held2) {
				t.Errorf("dead letters = %s", got)
			}
			if got := query[string](t, pool, "select string_agg(first_id || ' ' || aggregate_id || ' ' || (released_at is null), ',') from outbox.blocked"); got !=
				fmt.Sprintf("%d c true", held) {
				t.Errorf("blocked = %s", got)
			}
		})
	}
}

func TestHoldKeepsItsLeastEventAndStartsAgain(t *testing.T) {
	t.Parallel()
	pool := outboxtest.DB(t)
	store := pgstore.New(pool)
	id := join(t, store)
	low, high := insert(t, pool, "a"), insert(t, pool, "a")
	settle(t, store, id, identified(t, pool, relay.Settlement{DeadLetters: []relay.DeadLetter{{ID: high, Block: true}}}))
	exec(t, pool, "update outbox.blocked set released_at = now()")
	settle(t, store, id, identified(t, pool, relay.Settlement{DeadLetters: []relay.DeadLetter{{ID: low, Block: true}}}))
	if got := query[int64](t, pool, "select first_id from outbox.blocked where released_at is null"); got != low {
		t.Errorf("first id = %d, want %d", got, low)
	}
}

func TestSettleAfterATakeoverIsFenced(t *testing.T) {
	t.Parallel()
	for name, mode := range modes() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool, store := open(t, mode)
			zombie := join(t, store)
			renew(t, store, relay.Renewal{RelayID: zombie})
			a, b := insert(t, pool, "a"), insert(t, pool, "b")
			lapse(t, pool, zombie)
			renew(t, store, relay.Renewal{RelayID: join(t, store)})
			s := accept(a)
			s.DeadLetters = []relay.DeadLetter{{ID: b, Block: true}}
			if got := settle(t, store, zombie, identified(t, pool, s)); got != (relay.Settled{Fenced: true}) {
				t.Errorf("settled = %+v, want only fenced", got)
			}
			if n := query[int](t, pool, "select count(*) from outbox.events where sent_at is null"); n != 2 {
				t.Errorf("%d rows are unsent, want both", n)
			}
			if n := query[int](t, pool, "select (select count(*) from outbox.blocked) + (select count(*) from outbox.dead_letters)"); n != 0 {
				t.Errorf("%d dead letters and holds, want none", n)
			}
		})
	}
}

// Either the settlement comes first and all of it counts, or the takeover does
// and nothing of it counts.
func TestSettleRacingATakeoverHasTwoOutcomes(t *testing.T) {
	t.Parallel()
	pool := outboxtest.DB(t)
	store := pgstore.New(pool)
	outcomes := map[bool]int{}
	for range 30 {
		old := join(t, store)
		renew(t, store, relay.Renewal{RelayID: old})
		ids := []int64{insert(t, pool, "a"), insert(t, pool, "b")}
		heir := join(t, store)
		lapse(t, pool, old)
		st := identified(t, pool, accept(ids...))
		var settled relay.Settled
		var group sync.WaitGroup
		group.Go(func() {
			var err error
			if settled, err = store.Settle(t.Context(), old, st); err != nil {
				t.Errorf("settle: %v", err)
			}
		})
		group.Go(func() {
			if _, err := store.Renew(t.Context(), relay.Renewal{RelayID: heir, TTL: ttl, Relays: 1}); err != nil {
				t.Errorf("renew: %v", err)
			}
		})
		group.Wait()
		marked := query[int](t, pool, "select count(*) from outbox.events where id = any ($1::bigint[]) and sent_at is not null", ids)
		whole := settled == relay.Settled{Accepted: 2} && marked == 2
		nothing := settled == relay.Settled{Fenced: true} && marked == 0
		if !whole && !nothing {
			t.Fatalf("settled = %+v with %d rows marked", settled, marked)
		}
		outcomes[settled.Fenced]++
		exec(t, pool, "delete from outbox.relays")
	}
	t.Logf("%d were fenced, %d were not", outcomes[true], outcomes[false])
}

// A takeover that is not committed yet holds the settlement up, and then
// fences it; a settlement that is not committed yet keeps the takeover away.
func TestFenceWaitsForTheTakeover(t *testing.T) {
	t.Parallel()
	pool := outboxtest.DB(t)
	store := pgstore.New(pool)
	old, id := join(t, store), insert(t, pool, "a")
	st := identified(t, pool, accept(id))
	takeover := begin(t, pool)
	if _, err := takeover.Exec(t.Context(), "delete from outbox.relays where relay_id = $1::uuid", old.String()); err != nil {
		t.Fatal(err)
	}
	done := make(chan relay.Settled, 1)
	go func() {
		got, err := store.Settle(t.Context(), old, st)
		if err != nil {
			t.Errorf("settle: %v", err)
		}
		done <- got
	}()
	waitBlocked(t, pool)
	if err := takeover.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := <-done; got != (relay.Settled{Fenced: true}) {
		t.Errorf("settled = %+v, want fenced", got)
	}
}

func TestTakeoverLeavesARelayAloneThatSettles(t *testing.T) {
	t.Parallel()
	pool := outboxtest.DB(t)
	store := pgstore.New(pool)
	old, heir := join(t, store), join(t, store)
	renew(t, store, relay.Renewal{RelayID: old})
	lapse(t, pool, old)
	settling := begin(t, pool)
	if _, err := settling.Exec(t.Context(), "select from outbox.relays where relay_id = $1::uuid for key share", old.String()); err != nil {
		t.Fatal(err)
	}
	renew(t, store, relay.Renewal{RelayID: heir, Relays: 2})
	if n := query[int](t, pool, "select count(*) from outbox.relays"); n != 2 {
		t.Errorf("%d relays, want both: one was settling", n)
	}
	// A renewal is not held up by a settlement either.
	renew(t, store, relay.Renewal{RelayID: old, Relays: 2})
	lapse(t, pool, old)
	if err := settling.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := renew(t, store, relay.Renewal{RelayID: heir, Relays: 1}); len(got.Shards) == 0 {
		t.Error("the lapsed relay was not taken over after its settlement")
	}
}

func TestConcurrentSettlementsOfTheSameEvents(t *testing.T) {
	t.Parallel()
	pool := outboxtest.DB(t)
	store := pgstore.New(pool)
	id := join(t, store)
	var ids []int64
	for i := range 200 {
		ids = append(ids, insert(t, pool, fmt.Sprint(i)))
	}
	reversed := make([]int64, 0, len(ids))
	for i := range ids {
		reversed = append(reversed, ids[len(ids)-1-i])
	}
	var mu sync.Mutex
	total := 0
	var group sync.WaitGroup
	for n := range 6 {
		group.Go(func() {
			order := ids
			if n%2 == 1 {
				order = reversed
			}
			got, err := store.Settle(t.Context(), id, identified(t, pool, accept(order...)))
			if err != nil {
				t.Errorf("settle: %v", err)
			}
			mu.Lock()
			defer mu.Unlock()
			total += got.Accepted
		})
	}
	group.Wait()
	if total != len(ids) {
		t.Errorf("%d were accepted in all, want %d: each once", total, len(ids))
	}
}

func TestSettleOfNothingAsksNothing(t *testing.T) {
	t.Parallel()
	store := pgstore.New(nil)
	if got := settle(t, store, uuid.New(), relay.Settlement{}); got != (relay.Settled{}) {
		t.Errorf("settled = %+v", got)
	}
}

func TestSettleOfIDsFarApart(t *testing.T) {
	t.Parallel()
	for name, mode := range modes() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool, store := open(t, mode)
			id := join(t, store)
			exec(t, pool, `insert into outbox.events (aggregate_type, aggregate_id, event_type, payload)
				select 'order', i::text, 'x', '{}' from generate_series(1, 1000) i`)
			st := accept(1, 2, 66, 131, 999)
			st.DeadLetters = []relay.DeadLetter{{ID: 500, Attempts: 1, Code: "c"}, {ID: 900, Attempts: 1, Code: "c"}}
			if got := settle(t, store, id, identified(t, pool, st)); got.Accepted != 5 || got.DeadLetters != 2 || got.Fenced {
				t.Errorf("settled %+v", got)
			}
			if got := query[string](t, pool, "select string_agg(id::text, ' ' order by id) from outbox.events where sent_at is not null"); got != "1 2 66 131 999" {
				t.Errorf("marked %s", got)
			}
			if got := query[string](t, pool, "select string_agg(id::text, ' ' order by id) from outbox.dead_letters"); got != "500 900" {
				t.Errorf("dead letters %s", got)
			}
		})
	}
}

func TestSettlementFromBeforeARedriveBuriesNothing(t *testing.T) {
	t.Parallel()
	pool := outboxtest.DB(t)
	store := pgstore.New(pool)
	relayID := join(t, store)
	id := insert(t, pool, "a")
	query[int](t, pool, "with u as (update outbox.events set replays = 2 where id = $1::bigint returning 1) select count(*)::int from u", id)
	if got := settle(t, store, relayID, identified(t, pool, relay.Settlement{DeadLetters: []relay.DeadLetter{{ID: id, Replays: 1, Block: true}}})); got != (relay.Settled{}) {
		t.Errorf("an old settlement did %+v", got)
	}
	if n := query[int](t, pool, "select (select count(*) from outbox.dead_letters)::int + (select count(*) from outbox.blocked)::int"); n != 0 {
		t.Errorf("%d dead letters and holds", n)
	}
	if got := settle(t, store, relayID, identified(t, pool, relay.Settlement{DeadLetters: []relay.DeadLetter{{ID: id, Replays: 2, Block: true}}})); got.DeadLetters != 1 {
		t.Errorf("the settlement of its generation did %+v", got)
	}
}
