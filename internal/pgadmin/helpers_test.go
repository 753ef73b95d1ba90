package pgadmin_test

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/serverless-outbox/serverless-outbox/internal/pgadmin"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/pgstore"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

type (
	relays   = pgstore.Store
	operator = pgadmin.Store
)

// store is the outbox as relays and as its operator use it.
type store struct {
	*relays
	*operator
	pool *pgxpool.Pool
}

func newStore(pool *pgxpool.Pool) *store {
	return &store{relays: pgstore.New(pool), operator: pgadmin.New(pool), pool: pool}
}

// modes are the ways in which pgx can send a statement. A pooler that shares
// sessions between transactions bears neither named statements nor statements
// that are described in one round trip and run in the next.
func modes() map[string]pgx.QueryExecMode {
	all := map[string]pgx.QueryExecMode{
		"cache_describe":  pgx.QueryExecModeCacheDescribe,
		"exec":            pgx.QueryExecModeExec,
		"simple_protocol": pgx.QueryExecModeSimpleProtocol,
	}
	if !outboxtest.Pooled() {
		all["cache_statement"] = pgx.QueryExecModeCacheStatement
		all["describe_exec"] = pgx.QueryExecModeDescribeExec
	}
	return all
}

func open(t *testing.T, mode pgx.QueryExecMode) (*pgxpool.Pool, *store) {
	t.Helper()
	pool := outboxtest.DB(t, outboxtest.ExecMode(mode))
	return pool, newStore(pool)
}

func allShards() []int {
	shards := make([]int, outbox.Shards)
	for i := range shards {
		shards[i] = i
	}
	return shards
}

type queryer interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// insert writes an event and returns its id.
func insert(t *testing.T, db queryer, aggregate string) int64 {
	t.Helper()
	return insertTo(t, db, "default", aggregate)
}

func insertTo(t *testing.T, db queryer, destination, aggregate string) int64 {
	t.Helper()
	return query[int64](t, db, `
		insert into outbox.events (aggregate_type, aggregate_id, event_type, destination, payload, headers)
		values ('order', $1::text, 'order.placed', $2::text, '{"b": 1, "a":2}', '{"k": "v"}') returning id`,
		aggregate, destination)
}

func exec(t *testing.T, pool *pgxpool.Pool, sql string, args ...any) {
	t.Helper()
	if _, err := pool.Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func query[T any](t *testing.T, db queryer, sql string, args ...any) T {
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

func fetch(t *testing.T, s *store, f relay.Fetch) relay.Fetched {
	t.Helper()
	f.GapLimit = cmp.Or(f.GapLimit, 1000)
	got, err := s.Fetch(t.Context(), f)
	if err != nil {
		t.Fatalf("fetch: %v", err)
	}
	return got
}

// join enters a relay, whatever others there are.
func join(t *testing.T, s *store) uuid.UUID {
	t.Helper()
	id := uuid.New()
	ok, err := s.Join(t.Context(), relay.Join{RelayID: id, Name: "test", TTL: time.Minute, RunFor: time.Hour, Relays: 1000})
	if err != nil || !ok {
		t.Fatalf("join = %v, %v", ok, err)
	}
	return id
}

func renew(t *testing.T, s *store, r relay.Renewal) relay.Lease {
	t.Helper()
	r.TTL, r.Relays = cmp.Or(r.TTL, time.Minute), cmp.Or(r.Relays, 1)
	if r.Era == 0 {
		r.Era = fetch(t, s, relay.Fetch{Scans: []relay.Scan{{Limit: 1}}}).Era
	}
	lease, err := s.Renew(t.Context(), r)
	if err != nil {
		t.Fatalf("renew: %v", err)
	}
	return lease
}

// settle settles the events that the table has for the row ids of st.
func settle(t *testing.T, s *store, id uuid.UUID, st relay.Settlement) relay.Settled {
	t.Helper()
	got, err := s.Settle(t.Context(), id, identified(t, s.pool, st))
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

// login returns a pool of a login that has only the role.
func login(t *testing.T, pool *pgxpool.Pool, role string) *pgxpool.Pool {
	t.Helper()
	name := role + strings.TrimPrefix(pool.Config().ConnConfig.Database, "outbox_test")
	exec(t, pool, fmt.Sprintf("create role %s login password 'secret' in role %s", name, role))
	config := pool.Config()
	config.ConnConfig.User, config.ConnConfig.Password = name, "secret"
	own, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		own.Close()
		if _, err := pool.Exec(context.Background(), "drop role "+name); err != nil {
			t.Errorf("drop role: %v", err)
		}
	})
	return own
}
