package nastiest_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/pgstore"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

// blocksSQL counts the blocks that were read so far of some tables of the outbox
// and their indexes, from wherever, by sessions that have told of it.
const blocksSQL = `
	select coalesce(sum(coalesce(heap_blks_hit, 0) + coalesce(heap_blks_read, 0) + coalesce(idx_blks_hit, 0) + coalesce(idx_blks_read, 0)), 0)::bigint
	from pg_statio_user_tables where schemaname = 'outbox' and relname similar to $1`

func (w *world) blocks() int {
	w.t.Helper()
	return number(w.t, w.pool, blocksSQL, "events%")
}

// apart runs f with a pool of its own, and returns once the sessions have ended, so that the server has counted
// what they read.
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

// session is one connection whose reading can be counted at any time.
type session struct {
	w    *world
	pool *pgxpool.Pool
}

func (w *world) session() *session {
	w.t.Helper()
	config := w.pool.Config()
	config.MinConns, config.MaxConns = 0, 1
	pool, err := pgxpool.NewWithConfig(w.t.Context(), config)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(pool.Close)
	return &session{w: w, pool: pool}
}

// reads returns how many blocks of the named tables and their indexes f reads. No other session may read them
// then.
func (s *session) reads(tables string, f func(pool *pgxpool.Pool)) int {
	s.w.t.Helper()
	count := func() int {
		execute(s.w.t, s.pool, "select pg_stat_force_next_flush()")
		return number(s.w.t, s.w.pool, blocksSQL, tables)
	}
	before := count()
	f(s.pool)
	return count() - before
}

// quietVacuum turns autovacuum off for events, relays and shards: its reads would be counted too.
func (w *world) quietVacuum() {
	w.t.Helper()
	execute(w.t, w.pool, `
		do $$ declare part regclass; begin
			for part in select relid from pg_partition_tree('outbox.events') where isleaf loop
				execute format('alter table %s set (autovacuum_enabled = off)', part);
			end loop;
			alter table outbox.relays set (autovacuum_enabled = off);
			alter table outbox.shards set (autovacuum_enabled = off);
		end $$`)
}

// allShards is every shard.
func allShards() []int {
	shards := make([]int, outbox.Shards)
	for n := range shards {
		shards[n] = n
	}
	return shards
}

// Transactions that stay open for the whole time: one that only reads and holds
// back vacuum, one that wrote elsewhere, one that wrote an event. Nothing waits
// for them, and what a fetch reads does not grow with what was sent since they
// began. The query that other outboxes poll with is measured beside it: there
// it grows with every event, so the measure would show it.
func TestLongTransactionsNeitherStopNorSlowDelivery(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.queue("orders", 0, relay.Skip, nil)
	w.quietVacuum()
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

	const rounds, count = 10, 500
	probe := w.session()
	var fetches, polls []int
	for round := range rounds {
		var first int64
		w.apart(func(pool *pgxpool.Pool) {
			x := w.begin(pool)
			var events []outbox.Event
			for i := range count {
				events = append(events, event(name("a", i%100), "orders", `{}`))
			}
			x.write(events...)
			x.commit()
			first = x.events[0].Row
		})
		// What a relay reads whose position is right before them, and looks at
		// the gap that the late one leaves.
		fetches = append(fetches, probe.reads("events%", func(pool *pgxpool.Pool) {
			got, err := pgstore.New(pool).Fetch(t.Context(), relay.Fetch{
				Scans: []relay.Scan{{After: first - 1, Limit: 100}}, GapLimit: 100, Shards: allShards(), Writers: true,
				Gaps: []relay.Range{{From: late.events[0].Row, To: late.events[0].Row}},
			})
			if err != nil || len(got.Scans[0]) != 100 || got.Scans[0][99].Record == nil || len(got.Gaps.IDs) != 0 || len(got.Writers) == 0 {
				t.Fatalf("fetched %d rows, %d of the gap, %d writers, %v", len(got.Scans[0]), len(got.Gaps.IDs), len(got.Writers), err)
			}
		}))
		polls = append(polls, probe.reads("events%", func(pool *pgxpool.Pool) {
			execute(t, pool, "select * from outbox.events where sent_at is null order by id limit 100")
		}))
		w.cost(int64((round+1)*count), nil)
	}
	t.Logf("blocks read for 100 events: by a fetch %v, by a poll for what is not sent %v", fetches, polls)
	// A fetch whose plan is made again reads a few blocks more.
	if early, late := slices.Min(fetches[:rounds/2]), slices.Min(fetches[rounds/2:]); late > 2*early {
		t.Errorf("a fetch read %d blocks at first and %d in the end, want it to stay the same", early, late)
	}
	if polls[rounds-1] < 3*polls[0] {
		t.Errorf("the poll read %d blocks in the first round, %d in the last: nothing was kept, so this proves nothing", polls[0], polls[rounds-1])
	}
	late.commit()
	r := w.start(w.pool, nil)
	w.rest()
	r.stop()
	if v := w.judge(w.pool); v.Accepted != rounds*count+1 || v.Sends != v.Accepted {
		t.Errorf("accepted = %d in %d sends, want %d", v.Accepted, v.Sends, rounds*count+1)
	}
}

// A relay renews its row every second. While a transaction holds back vacuum,
// every version of it stays: finding the last one must not get dear.
func TestRenewalsStayCheapBehindALongTransaction(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.quietVacuum()
	reader, err := w.pool.BeginTx(t.Context(), pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = reader.Rollback(t.Context()) }()
	number(t, reader, "select count(*) from outbox.relays")
	probe := w.session()
	id := uuid.New()
	_, err = pgstore.New(probe.pool).Join(t.Context(), relay.Join{RelayID: id, Name: "r", TTL: time.Minute, RunFor: time.Hour, JoinWindow: time.Minute, Relays: 1})
	if err != nil {
		t.Fatal(err)
	}
	var lease relay.Lease
	renew := func(times int) int {
		return probe.reads("[rs]%s", func(pool *pgxpool.Pool) {
			for range times {
				lease, err = pgstore.New(pool).Renew(t.Context(), relay.Renewal{RelayID: id, TTL: time.Minute, Relays: 1, Era: lease.Era})
				if err != nil {
					t.Fatal(err)
				}
			}
		}) / times
	}
	renew(5) // takes the shards
	first := renew(10)
	// As many as in an invocation of the longest length, 15 minutes.
	renew(900)
	last := renew(10)
	t.Logf("blocks read for a renewal: %d at first, %d after 900", first, last)
	// Versions are chained within a page, and a page holds dozens.
	if last > first+900/10 {
		t.Errorf("a renewal read %d blocks at first, %d after 900 of them", first, last)
	}
}

// A backlog that comes at once into a table without statistics: what is read
// for an event does not depend on how many wait behind it.
func TestBacklogWithoutStatisticsCostsNoMore(t *testing.T) {
	t.Parallel()
	const count = 1000
	read := func(t *testing.T, backlog int) int {
		t.Helper()
		w := newWorld(t)
		w.queue("orders", 0, relay.Skip, nil)
		w.quietVacuum()
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
		if n := number(t, w.pool, "select count(*) from pg_stats where schemaname = 'outbox' and tablename like 'events%'"); n != 0 {
			t.Fatalf("there are statistics of %d columns", n)
		}
		if err := pgstore.New(w.pool).Check(t.Context()); err != nil {
			t.Fatal(err)
		}
		blocks, sum := w.cost(count, func(c *relay.Config) {
			c.Window, c.FetchLimit = 500, 200
		})
		t.Logf("backlog of %d: %d blocks for %d fetches, %d events", backlog, blocks, sum.Fetches, sum.Published)
		return blocks / int(sum.Published)
	}
	small := read(t, 5_000)
	for _, backlog := range []int{100_000, 1_000_000} {
		t.Run(name("rows ", backlog), func(t *testing.T) {
			t.Parallel()
			if backlog > 100_000 {
				onlyLong(t)
			}
			if large := read(t, backlog); large > 3*small+10 {
				t.Errorf("%d blocks for an event of this backlog, %d of one of 5,000", large, small)
			}
		})
	}
}

// 100,000 events of one aggregate wait behind a dead letter. They are read past
// once; after that, neither the events of others nor the next relay pay for them.
func TestBlockedBacklogCostsOthersNothing(t *testing.T) {
	t.Parallel()
	const count, blocked = 1000, 100_000
	read := func(blocked int) (blocks int) {
		w := newWorld(t)
		w.queue("orders", 0, relay.Block, nil)
		w.quietVacuum()
		execute(t, w.pool, `
			insert into outbox.blocked (first_id, event_id, shard, destination, aggregate_type, aggregate_id, reason)
			select 1, gen_random_uuid(), (hashtextextended('held', hashtextextended('order', 0)) & 63)::smallint, 'orders', 'order', 'held', 'a test'`)
		if _, err := w.pool.Exec(t.Context(), `
			insert into outbox.events (aggregate_type, aggregate_id, event_type, destination, payload)
			select 'order', 'held', 'order.changed', 'orders', '{}' from generate_series(1, $1::integer)`, blocked); err != nil {
			t.Fatal(err)
		}
		write := func() {
			w.apart(func(pool *pgxpool.Pool) {
				x := w.begin(pool)
				var events []outbox.Event
				for i := range count {
					events = append(events, event(name("a", i%500), "orders", `{}`))
				}
				x.write(events...)
				x.commit()
			})
		}
		write()
		passing, _ := w.cost(count, nil)
		write()
		blocks, sum := w.cost(2*count, nil)
		t.Logf("%d blocked: %d blocks to read past them with %d events, then %d for %d fetches and %d events", blocked, passing, count, blocks, sum.Fetches, sum.Published)
		if waiting := number(t, w.pool, "select count(*) from outbox.events where sent_at is null"); waiting != blocked {
			t.Errorf("%d events wait, want the %d that are blocked", waiting, blocked)
		}
		return blocks
	}
	none, many := read(1), read(blocked)
	if many > 2*none {
		t.Errorf("%d blocks for %d events beside %d blocked ones, %d beside one", many, count, blocked, none)
	}
}
