package pgstore_test

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/pgstore"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

func TestFetchAnswersEveryReadInOneBatch(t *testing.T) {
	t.Parallel()
	for name, mode := range modes() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool, store := open(t, mode)
			a, b := insert(t, pool, "a"), insert(t, pool, "b")
			c, d := insertTo(t, pool, "other", "a"), insert(t, pool, "é 'quoted' \\")
			exec(t, pool, "update outbox.events set sent_at = now(), message_id = 'm' where id = $1::bigint", b)
			shard := query[int](t, pool, "select shard from outbox.events where id = $1::bigint", a)

			got := fetch(t, store, relay.Fetch{
				Scans: []relay.Scan{
					{After: 0, Limit: 100},
					{After: a, Limit: 2},
					{After: 0, Limit: 2},
					{After: 0, Limit: 100, Shards: []int{}},
					{After: 0, Limit: 1, Shards: []int{shard}},
				},
				Destinations: []relay.DestinationBackfill{
					{Destination: "default", Page: page(1)},
					{Destination: "default", Page: page(a + 1)},
					{Destination: "other", Page: page(1)},
				},
				Lanes:   []relay.LaneBackfill{{Lane: orderLane("a"), Page: page(1)}},
				Sweep:   &relay.Sweep{Destinations: []string{"default", "other"}, From: 1, Before: d + 1, Limit: 10},
				Gaps:    []relay.Range{{From: b, To: b}, {From: d, To: d + 1000}},
				Shards:  allShards(),
				Writers: true,
			})

			all, mine := rowIDs(got.Scans[0])
			wantIDs(t, "scan", all, a, b, c, d)
			wantIDs(t, "unsent of the scan", mine, a, c, d)
			all, mine = rowIDs(got.Scans[1])
			wantIDs(t, "scan of a range", all, b, c)
			wantIDs(t, "unsent of a range", mine, c)
			all, _ = rowIDs(got.Scans[2])
			wantIDs(t, "limited scan", all, a, b)
			all, mine = rowIDs(got.Scans[3])
			wantIDs(t, "scan for no shard", all, a, b, c, d)
			wantIDs(t, "records for no shard", mine)
			_, mine = rowIDs(got.Scans[4])
			wantIDs(t, "scan for one shard", mine, a)
			wantIDs(t, "backfill of a lane", recordIDs(got.Lanes[0].Records), a)
			wantIDs(t, "backfill of a destination", recordIDs(got.Destinations[0].Records), a, d)
			wantIDs(t, "backfill from a position", recordIDs(got.Destinations[1].Records), d)
			wantIDs(t, "backfill of the other destination", recordIDs(got.Destinations[2].Records), c)
			wantIDs(t, "sweep", recordIDs(got.Sweep.Records), a, c, d)
			wantIDs(t, "seen in gaps", got.Gaps.IDs, b, d)
			wantIDs(t, "unsent in gaps", recordIDs(got.Gaps.Records), d)
			if len(got.Writers) != 0 {
				t.Errorf("writers = %v, want none", got.Writers)
			}

			r := got.Scans[0][3].Record
			if r.AggregateType != "order" || r.AggregateID != "é 'quoted' \\" || r.Type != "order.placed" || r.Destination != "default" {
				t.Errorf("record = %+v", r)
			}
			if string(r.Payload) != `{"b": 1, "a":2}` {
				t.Errorf("payload = %s, want the bytes as written", r.Payload)
			}
			if len(r.Headers) != 1 || r.Headers["k"] != "v" {
				t.Errorf("headers = %v", r.Headers)
			}
			if r.EventID.Version() != 7 || r.CreatedAt.IsZero() || r.Replays != 0 {
				t.Errorf("event id, created at, replays = %v, %v, %d", r.EventID, r.CreatedAt, r.Replays)
			}
			if want := query[int](t, pool, "select shard from outbox.events where id = $1::bigint", d); r.Shard != want {
				t.Errorf("shard = %d, want %d", r.Shard, want)
			}
			if string(got.Scans[0][0].Record.Payload) != string(r.Payload) {
				t.Error("records share a buffer")
			}
		})
	}
}

// page returns the first page of a backfill, of ten records.
func page(from int64) relay.Page { return relay.Page{From: from, Limit: 10, Examine: 100} }

func orderLane(aggregate string) outbox.Lane {
	return outbox.Lane{Destination: "default", AggregateType: "order", AggregateID: aggregate}
}

func TestScanLeavesOutBlockedLanes(t *testing.T) {
	t.Parallel()
	pool := outboxtest.DB(t)
	store := pgstore.New(pool)
	blocked, free := insert(t, pool, "blocked"), insert(t, pool, "free")
	elsewhere := insertTo(t, pool, "other", "blocked")
	exec(t, pool, `insert into outbox.blocked (first_id, event_id, shard, destination, aggregate_type, aggregate_id, reason)
		select id, event_id, shard, destination, aggregate_type, aggregate_id, '' from outbox.events where id = $1::bigint`, blocked)
	got := fetch(t, store, relay.Fetch{
		Scans:        []relay.Scan{{Limit: 10}},
		Destinations: []relay.DestinationBackfill{{Destination: "default", Page: page(1)}},
		Searches:     []relay.LaneSearch{{Lane: orderLane("blocked"), From: 1, Examine: 100}},
		Lanes:        []relay.LaneBackfill{{Lane: orderLane("blocked"), Page: page(1)}},
		Gaps:         []relay.Range{{From: blocked, To: elsewhere}},
		Shards:       allShards(),
	})
	all, mine := rowIDs(got.Scans[0])
	wantIDs(t, "scan", all, blocked, free, elsewhere)
	wantIDs(t, "records of the scan", mine, free, elsewhere)
	wantIDs(t, "backfill of the destination", recordIDs(got.Destinations[0].Records), free)
	wantIDs(t, "backfill of the lane", recordIDs(got.Lanes[0].Records))
	wantIDs(t, "search of the lane", []int64{got.Searches[0].First, got.Searches[0].Next}, blocked, 0)
	wantIDs(t, "ids in gaps", got.Gaps.IDs, blocked, free, elsewhere)
	wantIDs(t, "records in gaps", recordIDs(got.Gaps.Records), free, elsewhere)
	shard := query[int](t, pool, "select shard from outbox.events where id = $1::bigint", blocked)
	want := relay.BlockedRow{ID: blocked, Shard: shard, Lane: orderLane("blocked")}
	if rows := got.Gaps.Blocked; len(rows) != 1 || rows[0] != want {
		t.Errorf("blocked in gaps = %v, want %v", rows, want)
	}
}

// Each statement of the batch must see what was committed before it began, also
// when that was after the batch was sent: the writers of a gap may end between
// the scan and the second look.
func TestEachReadHasALaterSnapshot(t *testing.T) {
	t.Parallel()
	for name, mode := range modes() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool, store := open(t, mode)
			// A warm pool: describing a statement must not wait for the lock below.
			insert(t, pool, "before")
			f := relay.Fetch{
				Scans:        []relay.Scan{{Limit: 10}},
				Destinations: []relay.DestinationBackfill{{Destination: "gate", Page: page(1)}},
				Gaps:         []relay.Range{{From: 1, To: 100}},
				GapLimit:     100,
				Shards:       allShards(),
			}
			fetch(t, store, f)

			// The backfill of a destination reads outbox.blocked, as the scan does,
			// but a trigger-free way to stop between two statements is a row whose
			// evaluation waits: an advisory lock inside a view over blocked.
			exec(t, pool, `alter table outbox.blocked rename to blocked_rows`)
			exec(t, pool, `create function outbox.gate() returns boolean language plpgsql volatile as $$
			begin perform pg_advisory_xact_lock(42); return true; end $$`)
			exec(t, pool, `create view outbox.blocked as select * from outbox.blocked_rows where outbox.gate() offset 0`)
			gate := begin(t, pool)
			if _, err := gate.Exec(t.Context(), "select pg_advisory_xact_lock(42)"); err != nil {
				t.Fatal(err)
			}
			exec(t, pool, "insert into outbox.blocked_rows (first_id, event_id, shard, destination, aggregate_type, aggregate_id, reason) values (1, gen_random_uuid(), 1, 'x', 'x', 'x', '')")

			fetched := make(chan relay.Fetched, 1)
			go func() {
				got, err := store.Fetch(t.Context(), f)
				if err != nil {
					t.Errorf("fetch: %v", err)
				}
				fetched <- got
			}()
			waitBlocked(t, pool) // in the scan, whose snapshot is taken
			late := insert(t, pool, "late")
			if err := gate.Rollback(t.Context()); err != nil {
				t.Fatal(err)
			}
			got := <-fetched
			if len(got.Scans) == 0 {
				t.Fatal("no answer")
			}
			all, _ := rowIDs(got.Scans[0])
			if slices.Contains(all, late) {
				t.Fatal("the scan saw the late row: the test stopped nothing")
			}
			if !slices.Contains(got.Gaps.IDs, late) {
				t.Errorf("the gaps were read with the scan's snapshot: saw %v, want %d in it", got.Gaps.IDs, late)
			}
		})
	}
}

func TestLateCommitIsFoundInItsGap(t *testing.T) {
	t.Parallel()
	for name, mode := range modes() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool, store := open(t, mode)
			tx := begin(t, pool)
			late := insert(t, tx, "a")
			early := insert(t, pool, "b")
			all := fetch(t, store, relay.Fetch{Scans: []relay.Scan{{Limit: 10}}, Shards: allShards(), Writers: true})
			ids, _ := rowIDs(all.Scans[0])
			wantIDs(t, "scan", ids, early)
			if len(all.Writers) != 1 {
				t.Fatalf("writers = %v, want the open transaction", all.Writers)
			}
			gaps := relay.Fetch{Gaps: []relay.Range{{From: late, To: late}}, Shards: allShards(), Writers: true}
			if got := fetch(t, store, gaps); len(got.Gaps.IDs) != 0 || !slices.Equal(got.Writers, all.Writers) {
				t.Fatalf("before the commit: seen %v, writers %v", got.Gaps.IDs, got.Writers)
			}
			if err := tx.Commit(t.Context()); err != nil {
				t.Fatal(err)
			}
			got := fetch(t, store, gaps)
			wantIDs(t, "in the gap", recordIDs(got.Gaps.Records), late)
			if len(got.Writers) != 0 {
				t.Errorf("writers after the commit = %v", got.Writers)
			}
		})
	}
}

func TestGapOfARollbackLosesItsWriter(t *testing.T) {
	t.Parallel()
	pool := outboxtest.DB(t)
	store := pgstore.New(pool)
	tx := begin(t, pool)
	gone := insert(t, tx, "a")
	f := relay.Fetch{Gaps: []relay.Range{{From: gone, To: gone}}, Shards: allShards(), Writers: true}
	if got := fetch(t, store, f); len(got.Writers) != 1 {
		t.Fatalf("writers = %v, want one", got.Writers)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := fetch(t, store, f); len(got.Writers) != 0 || len(got.Gaps.IDs) != 0 {
		t.Errorf("after the rollback: writers %v, seen %v, want none", got.Writers, got.Gaps.IDs)
	}
}

func TestOnlyTransactionsThatWriteEventsAreWriters(t *testing.T) {
	t.Parallel()
	pool := outboxtest.DB(t)
	store := pgstore.New(pool)
	exec(t, pool, "create table public.business (n int)")
	unrelated := begin(t, pool)
	for _, sql := range []string{"insert into public.business values (1)", "select count(*) from outbox.events"} {
		if _, err := unrelated.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	if got := fetch(t, store, relay.Fetch{Writers: true}); len(got.Writers) != 0 {
		t.Errorf("writers = %v, want none", got.Writers)
	}
}

// The argument for gaps rests on this: the lock comes before the first id.
func TestWritersAreListedBeforeTheyDrawAnID(t *testing.T) {
	t.Parallel()
	pool := outboxtest.DB(t)
	store := pgstore.New(pool)
	exec(t, pool, `create function public.gate() returns text language plpgsql volatile as $$
		begin perform pg_advisory_xact_lock(42); return 'a'; end $$`)
	for name, write := range map[string]func(tx pgx.Tx) error{ //nolint:paralleltest // they share the gate
		"insert ... select": func(tx pgx.Tx) error {
			_, err := tx.Exec(t.Context(), `insert into outbox.events (aggregate_type, aggregate_id, event_type, payload)
				select 'order', public.gate(), 'x', '{}'`)
			return err
		},
		"prepared insert": func(tx pgx.Tx) error {
			if _, err := tx.Exec(t.Context(), `prepare w as insert into outbox.events (aggregate_type, aggregate_id, event_type, payload)
				select 'order', public.gate(), 'x', '{}'`); err != nil {
				return err
			}
			_, err := tx.Exec(t.Context(), "execute w")
			return err
		},
		"copy": func(tx pgx.Tx) error {
			_, err := tx.Conn().CopyFrom(t.Context(), pgx.Identifier{"outbox", "events"},
				[]string{"aggregate_type", "aggregate_id", "event_type", "payload"},
				pgx.CopyFromFunc(func() ([]any, error) {
					// The server begins the COPY and waits for its first row.
					for t.Context().Err() == nil {
						if got := fetch(t, store, relay.Fetch{Writers: true}); len(got.Writers) == 1 {
							return nil, nil
						}
					}
					return nil, t.Context().Err()
				}))
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			before := query[string](t, pool, "select last_value || ' ' || is_called from outbox.events_id_seq")
			gate, tx := begin(t, pool), begin(t, pool)
			if _, err := gate.Exec(t.Context(), "select pg_advisory_xact_lock(42)"); err != nil {
				t.Fatal(err)
			}
			done := make(chan error, 1)
			go func() { done <- write(tx) }()
			if name != "copy" {
				waitBlocked(t, pool)
				if got := fetch(t, store, relay.Fetch{Writers: true}); len(got.Writers) != 1 {
					t.Errorf("writers = %v, want the one that waits", got.Writers)
				}
				if now := query[string](t, pool, "select last_value || ' ' || is_called from outbox.events_id_seq"); now != before {
					t.Errorf("the writer had drawn an id: the test proves nothing")
				}
			}
			if err := gate.Rollback(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			if err := tx.Rollback(t.Context()); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestPreparedTransactionStaysAWriter(t *testing.T) {
	t.Parallel()
	pool := outboxtest.DB(t)
	store := pgstore.New(pool)
	if query[int](t, pool, "select current_setting('max_prepared_transactions')::int") == 0 {
		t.Skip("the server has max_prepared_transactions = 0, so nothing can be prepared")
	}
	gid := "outbox-" + strings.ToLower(t.Name()) + query[string](t, pool, "select current_database()")
	conn, err := pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	mustExec := func(sql string) {
		t.Helper()
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	mustExec("begin")
	id := insert(t, conn, "a")
	f := relay.Fetch{Gaps: []relay.Range{{From: id, To: id}}, Shards: allShards(), Writers: true}
	before := fetch(t, store, f).Writers
	if len(before) != 1 {
		t.Fatalf("writers = %v, want one", before)
	}
	mustExec("prepare transaction '" + gid + "'")
	for range 3 {
		if after := fetch(t, store, f).Writers; !slices.Contains(after, before[0]) {
			t.Fatalf("writers after prepare = %v, want %s still in it", after, before[0])
		}
	}
	mustExec("commit prepared '" + gid + "'")
	got := fetch(t, store, f)
	wantIDs(t, "in the gap", recordIDs(got.Gaps.Records), id)
	if len(got.Writers) != 0 {
		t.Errorf("writers after the commit = %v, want none", got.Writers)
	}
}

func TestBacklogIsBounded(t *testing.T) {
	t.Parallel()
	for name, mode := range modes() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool, store := open(t, mode)
			exec(t, pool, `insert into outbox.events (aggregate_type, aggregate_id, event_type, payload, created_at)
			select 'order', i::text, 'x', '{}', now() - interval '1 hour' from generate_series(1, 20) i`)
			for _, c := range []struct {
				low   int64
				limit int
				want  int
			}{{0, 100, 20}, {5, 100, 15}, {0, 7, 7}, {20, 7, 0}} {
				got, err := store.Backlog(t.Context(), map[string]int64{"default": c.low}, c.limit)
				if err != nil {
					t.Fatal(err)
				}
				if got.Pending != c.want {
					t.Errorf("pending above %d, limit %d = %d, want %d", c.low, c.limit, got.Pending, c.want)
				}
				if (got.Oldest >= 3600e9) != (c.want > 0) {
					t.Errorf("oldest above %d = %v", c.low, got.Oldest)
				}
			}
		})
	}
}

// A bulk load into an empty outbox leaves no statistics behind. Every statement
// of the relay must still read little more than what it returns: here the whole
// backlog is more than 1200 blocks, and its index more than 250. Nor may a plan
// that was made for the empty outbox read more.
func TestReadingABacklogWithoutStatisticsIsBounded(t *testing.T) {
	t.Parallel()
	pool := outboxtest.DB(t)
	relayID := join(t, pgstore.New(pool)).String()
	old := begin(t, pool)
	exec(t, pool, `alter table outbox.events_p000000 set (autovacuum_enabled = false)`)
	all := allShards()
	shards := make([]int16, len(all))
	ids, apart, texts := make([]int64, 500), make([]int64, 500), make([]string, 500)
	events, eventsApart := make([]string, 500), make([]string, 500)
	dead, deadApart := make([]int64, 500), make([]int64, 500)
	deadEvents, deadEventsApart := make([]string, 500), make([]string, 500)
	replays, attempts, block := make([]int32, 500), make([]int32, 500), make([]bool, 500)
	for i := range all {
		shards[i] = int16(i) //nolint:gosec // 0 to 63
	}
	for i := range ids {
		ids[i], apart[i] = int64(20000+i), int64(30000+100*i)
		events[i], eventsApart[i] = eventOf(ids[i]), eventOf(apart[i])
		dead[i], deadApart[i] = int64(21000+i), int64(30050+100*i)
		deadEvents[i], deadEventsApart[i] = eventOf(dead[i]), eventOf(deadApart[i])
		attempts[i] = 1
	}
	statements := map[string][]any{
		"scan of many":            {"scan", int64(50000), shards, 2000, 4096},
		"scan of few":             {"scan", int64(99999), shards, 2000, 4096},
		"lane":                    {"backfill", "default", "order", "7", int64(1), int64(math.MaxInt64), shards, 5000, 100, true, 4096},
		"destination":             {"backfill", "default", "", "", int64(1), int64(math.MaxInt64), shards, 5000, 2000, false, 4096},
		"destination of no event": {"backfill", "other", "", "", int64(1), int64(math.MaxInt64), shards, 5000, 2000, false, 4096},
		"gaps":                    {"gaps", []int64{7, 60000}, []int64{9, 60010}, shards, 2001, 4096},
		"wide gap":                {"gaps", []int64{7}, []int64{90000}, shards, 2001, 4096},
		"backlog":                 {"backlog", []string{"default"}, []int64{0}, 1000},
		"page of a sweep":         {"sweep", []string{"default", "other"}, int64(60000), int64(70000), shards, 1000, 4096},
		"content":                 {"content", ids},
		"content far apart":       {"content", apart},
		"settle":                  {"settle", relayID, ids, events, texts, texts},
		"settle far apart":        {"settle", relayID, apart, eventsApart, texts, texts},
		"bury":                    {"bury", relayID, dead, deadEvents, replays, attempts, texts, texts, block},
		"bury far apart":          {"bury", relayID, deadApart, deadEventsApart, replays, attempts, texts, texts, block},
	}
	for _, args := range statements {
		file, _ := args[0].(string)
		if _, err := old.Exec(t.Context(), pgstore.Statements()[file], args[1:]...); err != nil {
			t.Fatal(err)
		}
	}
	exec(t, pool, `insert into outbox.events (event_id, aggregate_type, aggregate_id, event_type, payload)
		select lpad(to_hex(i), 32, '0')::uuid, 'order', (i % 5000)::text, 'x', to_json(repeat('x', 600)) from generate_series(1, 100000) i`)
	if blocks := query[int](t, pool, "select pg_relation_size('outbox.events_p000000') / 8192"); blocks < 9000 {
		t.Fatalf("the backlog has %d blocks: too few to tell", blocks)
	}
	for name, args := range statements {
		file, _ := args[0].(string)
		explain := "explain (analyze, buffers, format json) " + pgstore.Statements()[file]
		bounded(t, name+", planned before", file, query[[]byte](t, old, explain, args[1:]...))
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tx := begin(t, pool)
			// The first time, a new session reads the catalogue as well.
			if file != "settle" && file != "bury" {
				query[[]byte](t, tx, explain, args[1:]...)
			}
			bounded(t, name, file, query[[]byte](t, tx, explain, args[1:]...))
			if err := tx.Rollback(t.Context()); err != nil {
				t.Fatal(err)
			}
		})
	}
	if err := old.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// eventOf returns an event id that is made of a row id.
func eventOf(id int64) string {
	var event uuid.UUID
	binary.BigEndian.PutUint64(event[8:], uint64(id)) //nolint:gosec // above 0
	return event.String()
}

// While vacuum is held back the index of unsent rows keeps an entry for each row
// that was sent. A page of a sweep passes over those of its range and no others.
func TestAPageOfASweepIsBoundedWhileVacuumIsHeldBack(t *testing.T) {
	t.Parallel()
	pool := outboxtest.DB(t)
	exec(t, pool, `insert into outbox.events (aggregate_type, aggregate_id, event_type, payload)
		select 'order', i::text, 'x', '{}' from generate_series(1, 40000) i`)
	holder := begin(t, pool)
	for _, sql := range []string{"set transaction isolation level repeatable read", "select count(*) from pg_class"} {
		if _, err := holder.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	exec(t, pool, "update outbox.events set sent_at = clock_timestamp(), message_id = 'm' where id < 40000")
	shards := make([]int16, 64)
	for i := range shards {
		shards[i] = int16(i) //nolint:gosec // 0 to 63
	}
	explain := "explain (analyze, buffers, format json) "
	blocks := func(name string, from, before int64) int {
		t.Helper()
		var plan []struct {
			Plan struct {
				Rows float64 `json:"Actual Rows"` // an integer before PostgreSQL 18
				Hit  int     `json:"Shared Hit Blocks"`
				Read int     `json:"Shared Read Blocks"`
			}
		}
		tx := begin(t, pool)
		var text []byte
		for range 2 { // the first time, a new session reads the catalogue as well
			text = query[[]byte](t, tx, explain+pgstore.Statements()["sweep"], []string{"default"}, from, before, shards, 1000, 4096)
		}
		if err := tx.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(text, &plan); err != nil {
			t.Fatal(err)
		}
		if want := map[bool]float64{true: 1}[before > 40000]; plan[0].Plan.Rows != want {
			t.Errorf("%s: %v rows, want %v", name, plan[0].Plan.Rows, want)
		}
		return plan[0].Plan.Hit + plan[0].Plan.Read
	}
	all, page := blocks("all", 1, 50_000), blocks("page", 1001, 2001)
	if all < 400 {
		t.Fatalf("a sweep of all reads %d blocks: vacuum was not held back, and the test tells nothing", all)
	}
	if page > all/10 {
		t.Errorf("a page of a fortieth reads %d blocks, and all of it %d", page, all)
	}
}

// A plan without its dearest part looks so dear that the server compiles it, for
// ten times as long as it runs.
func TestFunctionsWithPlannerSettingsAreNotCompiled(t *testing.T) {
	t.Parallel()
	pool := outboxtest.DB(t)
	const set = `select count(*) from pg_proc where pronamespace = 'outbox'::regnamespace
		and array_to_string(proconfig, ' ') ~ 'enable_|plan_cache_mode'`
	if n := query[int](t, pool, set); n < 10 {
		t.Fatalf("%d functions with planner settings: the test looks for the wrong ones", n)
	}
	if n := query[int](t, pool, set+` and not 'jit=off' = any (proconfig)`); n > 0 {
		t.Errorf("%d functions with planner settings lack jit = off", n)
	}
}

// bounded tests the number of blocks that a plan has read.
func bounded(t *testing.T, name, file string, text []byte) {
	t.Helper()
	var plan []struct {
		Plan struct {
			Hit  int `json:"Shared Hit Blocks"`
			Read int `json:"Shared Read Blocks"`
		}
	}
	if err := json.Unmarshal(text, &plan); err != nil {
		t.Fatal(err)
	}
	// A plan may read the holds once, or look each row up among them in two
	// blocks: both are bounded by the limit.
	most := 6000
	if file == "settle" || file == "bury" {
		most = 500 * 24 // each row is found, written, and put into three indexes or another table
	}
	if blocks := plan[0].Plan.Hit + plan[0].Plan.Read; blocks == 0 || blocks > most {
		t.Errorf("%s: reads %d blocks:\n%s", name, blocks, text)
	}
}

func TestBackfillGoesOnWhereItStopped(t *testing.T) {
	t.Parallel()
	for name, mode := range modes() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool, store := open(t, mode)
			var want []int64
			for i := range 10 {
				insertTo(t, pool, "other", fmt.Sprint(i))
				want = append(want, insert(t, pool, "a"))
			}
			for _, c := range []struct{ limit, examine int }{{100, 100}, {3, 100}, {100, 3}, {3, 4}, {1, 1}, {10, 20}} {
				var got []int64
				b := relay.LaneBackfill{Lane: orderLane("a"), Page: relay.Page{From: 1, Limit: c.limit, Examine: c.examine}}
				for range 50 {
					one := fetch(t, store, relay.Fetch{Lanes: []relay.LaneBackfill{b}, Shards: allShards()}).Lanes[0]
					if len(one.Records) > c.limit {
						t.Errorf("%+v: %d records", c, len(one.Records))
					}
					got = append(got, recordIDs(one.Records)...)
					if b.From = one.Next; b.From == 0 {
						break
					}
				}
				wantIDs(t, fmt.Sprintf("backfill %+v", c), got, want...)
			}
		})
	}
}

func TestGapsAreReadUpToALimit(t *testing.T) {
	t.Parallel()
	for name, mode := range modes() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool, store := open(t, mode)
			var ids []int64
			for i := range 6 {
				ids = append(ids, insert(t, pool, fmt.Sprint(i)))
			}
			gaps := []relay.Range{{From: ids[0], To: ids[1]}, {From: ids[3], To: ids[5]}}
			got := fetch(t, store, relay.Fetch{Gaps: gaps, GapLimit: 3, Shards: allShards()})
			wantIDs(t, "cut", got.Gaps.IDs, ids[0], ids[1], ids[3])
			wantIDs(t, "records of the cut", recordIDs(got.Gaps.Records), ids[0], ids[1], ids[3])
			if got.Gaps.Through != ids[3] {
				t.Errorf("read through %d, want %d", got.Gaps.Through, ids[3])
			}
			got = fetch(t, store, relay.Fetch{Gaps: gaps, GapLimit: 5, Shards: allShards()})
			wantIDs(t, "all", got.Gaps.IDs, ids[0], ids[1], ids[3], ids[4], ids[5])
			if got.Gaps.Through != 0 {
				t.Errorf("read through %d, want all", got.Gaps.Through)
			}
		})
	}
}
