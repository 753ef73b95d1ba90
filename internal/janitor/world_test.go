package janitor_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/serverless-outbox/serverless-outbox/internal/janitor"
	"github.com/serverless-outbox/serverless-outbox/internal/pgadmin"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest"
)

// world is an outbox and its janitor.
type world struct {
	t     *testing.T
	pool  *pgxpool.Pool
	store *pgadmin.Store
}

func newWorld(t *testing.T, opts ...outboxtest.DBOption) *world {
	t.Helper()
	pool := outboxtest.DB(t, append(opts, outboxtest.MaxConns(16))...)
	w := &world{t: t, pool: pool, store: pgadmin.New(pool)}
	// The database is cloned from one that may be older than the test.
	w.exec("update outbox.janitor set sampled_at = clock_timestamp()")
	return w
}

type queryer interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

func query[T any](t *testing.T, db queryer, sql string, args ...any) (v T) {
	t.Helper()
	if err := db.QueryRow(t.Context(), sql, args...).Scan(&v); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return v
}

func (w *world) exec(sql string, args ...any) {
	w.t.Helper()
	if _, err := w.pool.Exec(w.t.Context(), sql, args...); err != nil {
		w.t.Fatalf("%s: %v", sql, err)
	}
}

// write puts n unsent events into the outbox, a day and a half ago.
func (w *world) write(n int) {
	w.t.Helper()
	w.exec(`
		insert into outbox.events (aggregate_type, aggregate_id, event_type, payload, headers)
		select 'order', (i % 10)::text, 'order.placed', '{"b": 1, "a":2}', '{"k": "v"}' from generate_series(1, $1::integer) i`, n)
}

// sent marks every event as sent so long ago.
func (w *world) sent(ago string) {
	w.t.Helper()
	w.exec(`update outbox.events set created_at = now() - $1::text::interval - interval '1 minute',
		sent_at = now() - $1::text::interval, message_id = 'm' || id, sequence_number = id::text where sent_at is null`, ago)
}

// begin starts a transaction that ends with the test at the latest.
func (w *world) begin() pgx.Tx {
	w.t.Helper()
	tx, err := w.pool.Begin(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = tx.Rollback(context.Background()) })
	return tx
}

// draw makes id the next one to be drawn.
func (w *world) draw(id int64) {
	w.t.Helper()
	w.exec("select setval('outbox.events_id_seq', $1::bigint, false)", id)
}

// close goes on to the ids of the partition after the one in use.
func (w *world) close() {
	w.t.Helper()
	w.draw(query[int64](w.t, w.pool, "select (outbox.current_partition() + 1) * outbox.partition_size()"))
}

func (w *world) config(c janitor.Config) janitor.Config {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.RetryMin == 0 {
		c.RetryMin = time.Millisecond
	}
	return c
}

func (w *world) janitor(store janitor.Store, c janitor.Config) *janitor.Janitor {
	w.t.Helper()
	j, err := janitor.New(store, w.config(c))
	if err != nil {
		w.t.Fatal(err)
	}
	return j
}

// run runs a janitor to its end.
func (w *world) run(c janitor.Config) janitor.Report {
	w.t.Helper()
	report, err := w.janitor(w.store, c).Run(w.t.Context(), time.Now().Add(time.Minute))
	if err != nil {
		w.t.Fatal(err)
	}
	return report
}

// where counts the rows of each table.
func (w *world) where() map[string]int {
	w.t.Helper()
	rows, err := w.pool.Query(w.t.Context(), `
		select x.place, count(*)
		from (select tableoid::regclass::text as place from outbox.events union all select tableoid::regclass::text from outbox.archive
		      union all select 'outbox.dead_letters' from outbox.dead_letters) as x
		group by 1`)
	if err != nil {
		w.t.Fatal(err)
	}
	places := map[string]int{}
	var place string
	var n int
	if _, err := pgx.ForEachRow(rows, []any{&place, &n}, func() error { places[place] = n; return nil }); err != nil {
		w.t.Fatal(err)
	}
	return places
}

func (w *world) tables() map[string]bool {
	w.t.Helper()
	rows, err := w.pool.Query(w.t.Context(), `select relname from pg_class where relnamespace = 'outbox'::regnamespace and relkind = 'r' and relname ~ '_p\d+$'`)
	if err != nil {
		w.t.Fatal(err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		w.t.Fatal(err)
	}
	set := map[string]bool{}
	for _, n := range names {
		set[n] = true
	}
	return set
}

// once makes sure that each event is in exactly one place, as often as it was
// written, and that no unsent row is outside of outbox.events.
func (w *world) once(written int) {
	w.t.Helper()
	if n := query[int](w.t, w.pool, `
		select count(*) from (
			select id from outbox.events union all select id from outbox.archive union all select id from outbox.dead_letters
		) as x`); n != written {
		w.t.Errorf("%d rows in all, want %d: %v", n, written, w.where())
	}
	if n := query[int](w.t, w.pool, `
		select count(distinct id) from (
			select id from outbox.events union all select id from outbox.archive union all select id from outbox.dead_letters
		) as x`); n != written {
		w.t.Errorf("%d different rows, want %d", n, written)
	}
	if n := query[int](w.t, w.pool, `
		select count(*) from pg_class c
		where c.relnamespace = 'outbox'::regnamespace and c.relname ~ '^(events|archive)_' and c.relkind = 'r'
		  and not exists (select from pg_inherits i where i.inhrelid = c.oid)`); n != 0 {
		w.t.Errorf("%d tables are no partition of anything", n)
	}
}

func same(t *testing.T, got, want map[string]int) {
	t.Helper()
	for k, n := range want {
		if got[k] != n {
			t.Errorf("%s has %d rows, want %d", k, got[k], n)
		}
	}
	for k, n := range got {
		if _, ok := want[k]; !ok {
			t.Errorf("%s has %d rows, want none", k, n)
		}
	}
}
