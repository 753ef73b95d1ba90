package nastiest_test

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/pgstore"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

// blocks is how many blocks of the outbox's events and their indexes were read
// so far, from wherever, by sessions that have ended.
func (w *world) blocks() int {
	w.t.Helper()
	return number(w.t, w.pool, `
		select sum(coalesce(heap_blks_hit, 0) + coalesce(heap_blks_read, 0) + coalesce(idx_blks_hit, 0) + coalesce(idx_blks_read, 0))::bigint
		from pg_statio_user_tables where schemaname = 'outbox' and relname like 'events%'`)
}

// apart runs f with a pool whose sessions have ended when it returns, so that
// what they read is counted.
func (w *world) apart(f func(pool *pgxpool.Pool)) {
	w.t.Helper()
	config := w.pool.Config()
	config.ConnConfig.RuntimeParams["application_name"] = "apart"
	pool, err := pgxpool.NewWithConfig(w.t.Context(), config)
	if err != nil {
		w.t.Fatal(err)
	}
	f(pool)
	pool.Close()
	w.until("the sessions have ended", func() bool {
		return number(w.t, w.pool, "select count(*) from pg_stat_activity where datname = current_database() and application_name = 'apart'") == 0
	})
}

// cost runs a relay until the broker has count events in all, and returns how
// many blocks it read and what it did.
func (w *world) cost(count int64, change func(c *relay.Config)) (blocks int, sum relay.Summary) {
	w.t.Helper()
	before := w.blocks()
	w.apart(func(pool *pgxpool.Pool) {
		r := w.start(pool, change)
		w.until("the broker has the events", func() bool { return w.fake.Tally("orders.fifo").Accepted >= count })
		sum = r.stop()
	})
	return w.blocks() - before, sum
}

// Transactions that stay open for the whole time: one that only reads and holds
// back vacuum, one that wrote elsewhere, one that wrote an event. Nothing waits
// for them, and reading gets no dearer by what they keep.
func TestLongTransactionsNeitherStopNorSlowDelivery(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.queue("orders", 0, relay.Skip, nil)
	execute(t, w.pool, "create table elsewhere (n int)")
	reader, err := w.pool.BeginTx(t.Context(), pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = reader.Rollback(t.Context()) }()
	if n := number(t, reader, "select count(*) from outbox.events"); n != 0 {
		t.Fatalf("%d events", n)
	}
	other := w.begin(w.pool)
	if _, err := other.tx.Exec(t.Context(), "insert into elsewhere values (1)"); err != nil {
		t.Fatal(err)
	}
	late := w.begin(w.pool)
	late.write(event("a1", "orders", `{"late":true}`))

	const rounds, count = 6, 500
	var first int
	for round := range rounds {
		w.apart(func(pool *pgxpool.Pool) {
			var events []outbox.Event
			for i := range count {
				events = append(events, event(name("a", i%100), "orders", `{}`))
			}
			x := w.begin(pool)
			x.write(events...)
			x.commit()
		})
		blocks, sum := w.cost(int64((round+1)*count), nil)
		per := blocks / int(sum.Fetches+count)
		t.Logf("round %d: %d blocks for %d fetches and %d events", round, blocks, sum.Fetches, sum.Published)
		if round == 0 {
			first = per
		} else if per > 2*first+5 {
			t.Errorf("round %d: %d blocks for a fetch or an event, %d in the first round", round, per, first)
		}
	}
	late.commit()
	r := w.start(w.pool, nil)
	w.rest()
	r.stop()
	if v := w.judge(w.pool); v.Accepted != rounds*count+1 || v.Sends != v.Accepted {
		t.Errorf("accepted = %d in %d sends, want %d", v.Accepted, v.Sends, rounds*count+1)
	}
}

// A backlog that comes at once into a table without statistics: what is read
// for an event does not depend on how many wait behind it.
func TestBacklogWithoutStatisticsCostsNoMore(t *testing.T) {
	t.Parallel()
	const count = 1000
	read := func(backlog int) int {
		w := newWorld(t)
		w.queue("orders", 0, relay.Skip, nil)
		execute(t, w.pool, `
			do $$ declare part regclass; begin
				for part in select relid from pg_partition_tree('outbox.events') where isleaf loop
					execute format('alter table %s set (autovacuum_enabled = off)', part);
				end loop;
			end $$`)
		w.apart(func(pool *pgxpool.Pool) {
			tx, err := pool.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			n, err := outbox.EnqueueCopy(t.Context(), tx, func(yield func(outbox.Event) bool) {
				for i := range backlog {
					if !yield(event(name("a", i%500), "orders", `{}`)) {
						return
					}
				}
			})
			if err != nil || n != int64(backlog) {
				t.Fatalf("copied %d, %v", n, err)
			}
			if err := tx.Commit(t.Context()); err != nil {
				t.Fatal(err)
			}
		})
		if err := pgstore.New(w.pool).Check(t.Context()); err != nil {
			t.Fatal(err)
		}
		blocks, sum := w.cost(count, func(c *relay.Config) {
			c.Window, c.FetchLimit = 500, 200
		})
		t.Logf("backlog of %d: %d blocks for %d fetches, %d events", backlog, blocks, sum.Fetches, sum.Published)
		return blocks / int(sum.Published)
	}
	small, large := read(5_000), read(long(200_000, 1_000_000))
	if large > 3*small+10 {
		t.Errorf("%d blocks for an event of the large backlog, %d of the small one", large, small)
	}
}
