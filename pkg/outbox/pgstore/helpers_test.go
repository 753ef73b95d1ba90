package pgstore_test

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/pgstore"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

const ttl = time.Minute

// modes are all ways that pgx can send a statement. Behind a pooler that shares
// sessions between transactions cache_statement is missing: its named statements
// stay behind in whatever session the pooler lent, and PgBouncer before 1.21
// does not carry them over. So is describe_exec, which describes a statement in
// one round trip and runs it in another: the second may reach another session.
func modes() map[string]pgx.QueryExecMode {
	all := map[string]pgx.QueryExecMode{
		"cache_describe":  pgx.QueryExecModeCacheDescribe,
		"cache_statement": pgx.QueryExecModeCacheStatement,
		"describe_exec":   pgx.QueryExecModeDescribeExec,
		"exec":            pgx.QueryExecModeExec,
		"simple_protocol": pgx.QueryExecModeSimpleProtocol,
	}
	if outboxtest.Pooled() {
		delete(all, "cache_statement")
		delete(all, "describe_exec")
	}
	return all
}

func open(t *testing.T, mode pgx.QueryExecMode) (*pgxpool.Pool, *pgstore.Store) {
	t.Helper()
	pool := outboxtest.DB(t, outboxtest.ExecMode(mode))
	return pool, pgstore.New(pool)
}

func allShards() []int {
	shards := make([]int, outbox.Shards)
	for i := range shards {
		shards[i] = i
	}
	return shards
}

type execer interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// insert writes an event and returns its id.
func insert(t *testing.T, db execer, aggregate string) int64 {
	t.Helper()
	return insertTo(t, db, "default", aggregate)
}

func insertTo(t *testing.T, db execer, destination, aggregate string) int64 {
	t.Helper()
	var id int64
	err := db.QueryRow(t.Context(), `
		insert into outbox.events (aggregate_type, aggregate_id, event_type, destination, payload, headers)
		values ('order', $1::text, 'order.placed', $2::text, '{"b": 1, "a":2}', '{"k": "v"}') returning id`,
		aggregate, destination).Scan(&id)
	if err != nil {
		t.Fatalf("insert: %v", err)
	}
	return id
}

func exec(t *testing.T, pool *pgxpool.Pool, sql string, args ...any) {
	t.Helper()
	if _, err := pool.Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func query[T any](t *testing.T, db execer, sql string, args ...any) T {
	t.Helper()
	var v T
	if err := db.QueryRow(t.Context(), sql, args...).Scan(&v); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return v
}

func begin(t *testing.T, pool *pgxpool.Pool) pgx.Tx {
	t.Helper()
	tx, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatalf("begin: %v", err)
	}
	t.Cleanup(func() { _ = tx.Rollback(context.Background()) })
	return tx
}

func fetch(t *testing.T, store *pgstore.Store, f relay.Fetch) relay.Fetched {
	t.Helper()
	f.GapLimit = cmp.Or(f.GapLimit, 1000)
	got, err := store.Fetch(t.Context(), f)
	if err != nil {
		t.Fatalf("fetch: %v", err)
	}
	return got
}

func join(t *testing.T, store *pgstore.Store) uuid.UUID {
	t.Helper()
	return relayOf(t, store)
}

// relayOf enters a relay, whatever others there are.
func relayOf(tb testing.TB, store *pgstore.Store) uuid.UUID {
	tb.Helper()
	id := uuid.New()
	ok, err := store.Join(tb.Context(), relay.Join{RelayID: id, Name: "test", TTL: ttl, RunFor: time.Hour, Relays: 1000})
	if err != nil || !ok {
		tb.Fatalf("join = %v, %v", ok, err)
	}
	return id
}

func renew(t *testing.T, store *pgstore.Store, r relay.Renewal) relay.Lease {
	t.Helper()
	if r.TTL == 0 {
		r.TTL = ttl
	}
	if r.Relays == 0 {
		r.Relays = 1
	}
	if r.Era == 0 {
		r.Era = eraOf(t, store)
	}
	lease, err := store.Renew(t.Context(), r)
	if err != nil {
		t.Fatalf("renew: %v", err)
	}
	return lease
}

// eraOf returns the era of the row ids.
func eraOf(tb testing.TB, store *pgstore.Store) int64 {
	tb.Helper()
	got, err := store.Fetch(tb.Context(), relay.Fetch{Scans: []relay.Scan{{Limit: 1}}})
	if err != nil {
		tb.Fatalf("fetch: %v", err)
	}
	return got.Era
}

// lapse ends the lease as if its time had passed.
func lapse(t *testing.T, pool *pgxpool.Pool, id uuid.UUID) {
	t.Helper()
	exec(t, pool, "update outbox.relays set lease_until = now() - interval '1 second' where relay_id = $1::uuid", id.String())
}

func settle(t *testing.T, store *pgstore.Store, id uuid.UUID, s relay.Settlement) relay.Settled {
	t.Helper()
	got, err := store.Settle(t.Context(), id, s)
	if err != nil {
		t.Fatalf("settle: %v", err)
	}
	return got
}

// identified returns s with the event ids that the table has for its row ids, and new ones for rows that are not there.
func identified(tb testing.TB, pool *pgxpool.Pool, s relay.Settlement) relay.Settlement {
	tb.Helper()
	rows, err := pool.Query(tb.Context(), "select id, event_id::text from outbox.events")
	if err != nil {
		tb.Fatal(err)
	}
	events := map[int64]uuid.UUID{}
	var id int64
	var event string
	if _, err := pgx.ForEachRow(rows, []any{&id, &event}, func() error {
		events[id] = uuid.MustParse(event)
		return nil
	}); err != nil {
		tb.Fatal(err)
	}
	of := func(id int64) uuid.UUID {
		if event, found := events[id]; found {
			return event
		}
		return uuid.New()
	}
	s.Accepted, s.DeadLetters = slices.Clone(s.Accepted), slices.Clone(s.DeadLetters)
	for i, a := range s.Accepted {
		s.Accepted[i].EventID = of(a.ID)
	}
	for i, d := range s.DeadLetters {
		s.DeadLetters[i].EventID = of(d.ID)
	}
	return s
}

func accept(ids ...int64) relay.Settlement {
	var s relay.Settlement
	for _, id := range ids {
		s.Accepted = append(s.Accepted, relay.Accepted{ID: id, MessageID: "m" + strconv.FormatInt(id, 10), SequenceNumber: "s"})
	}
	return s
}

func rowIDs(rows []relay.Row) (all, mine []int64) {
	for _, r := range rows {
		all = append(all, r.ID)
		if r.Record != nil {
			mine = append(mine, r.ID)
		}
	}
	return all, mine
}

func recordIDs(records []outbox.Record) (ids []int64) {
	for _, r := range records {
		ids = append(ids, r.ID)
	}
	return ids
}

func wantIDs(t *testing.T, what string, got []int64, want ...int64) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s = %v, want %v", what, got, want)
	}
}

func shardsOf(lease relay.Lease) []int {
	shards := make([]int, 0, len(lease.Shards))
	for _, s := range lease.Shards {
		shards = append(shards, s.Shard)
	}
	return shards
}

// waitBlocked returns when a backend of the database waits for a lock.
func waitBlocked(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		got := query[int](t, pool, "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'")
		if got > 0 {
			return
		}
		select {
		case <-tick.C:
		case <-t.Context().Done():
			t.Fatal(fmt.Errorf("nothing waits for a lock: %w", t.Context().Err()))
		}
	}
}
