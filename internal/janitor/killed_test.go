package janitor_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/serverless-outbox/serverless-outbox/internal/janitor"
	"github.com/serverless-outbox/serverless-outbox/internal/pgadmin"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/memory"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/pgstore"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

// tracer sees every statement of a pool.
type tracer struct {
	// before is called with the number of the statement. Its error kills the
	// janitor: this statement and all after it fail.
	before func(n int64) error
	n      atomic.Int64
	dead   atomic.Bool
}

type doomed struct{}

func (doomed) Error() string { return "killed" }

// TraceQueryStart implements pgx.QueryTracer.
func (k *tracer) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	if k.dead.Load() || k.before(k.n.Add(1)) != nil {
		k.dead.Store(true)
		dead, cancel := context.WithCancelCause(ctx)
		cancel(doomed{})
		return dead
	}
	return ctx
}

// TraceQueryEnd implements pgx.QueryTracer.
func (*tracer) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// traced returns a store on connections of its own.
func (w *world) traced(k *tracer, name string) *pgadmin.Store {
	w.t.Helper()
	config := w.pool.Config().Copy()
	if k != nil {
		config.ConnConfig.Tracer = k
	}
	config.MaxConns = 2
	config.ConnConfig.RuntimeParams["application_name"] = name
	pool, err := pgxpool.NewWithConfig(w.t.Context(), config)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(pool.Close)
	return pgadmin.New(pool)
}

// history is an outbox with something for every step of a janitor to do.
func history(w *world) int {
	w.write(50) // to be exported and dropped
	w.sent("31 days")
	w.close()
	w.write(50) // to be archived
	w.sent("25 hours")
	w.close()
	w.write(50) // kept by an unsent row; one is dead
	w.sent("25 hours")
	w.exec(`with d as (delete from outbox.events where id = 2000008 returning *)
		insert into outbox.dead_letters (id, created_at, event_id, replays, attempts, shard, aggregate_type, aggregate_id, event_type, destination, payload, code, reason)
		select id, created_at, event_id, replays, 1, shard, aggregate_type, aggregate_id, event_type, destination, payload, 'c', 'r' from d`)
	w.close()
	w.write(50) // to be moved, the partition to be dropped
	w.sent("25 hours")
	w.exec("select * from outbox.move_sent(3, 0, now() - interval '1 day', 20)")
	w.close()
	w.write(50) // to be moved
	w.sent("25 hours")
	w.exec("update outbox.events set sent_at = null, message_id = null where id in (2000007, 4000009)")
	w.exec(`insert into outbox.events (id, aggregate_type, aggregate_id, event_type, payload, created_at, sent_at, message_id) overriding system value
		values (99000000, 'order', '1', 'x', '{}', now() - interval '2 days', now() - interval '2 days', 'm'), (99000001, 'order', '1', 'x', '{}', now(), null, null)`)
	return 252
}

// A janitor that is killed before any of its statements leaves every row in
// exactly one place, and the next one does the rest.
func TestKilledAtEveryStatement(t *testing.T) {
	t.Parallel()
	count := &tracer{before: func(int64) error { return nil }}
	target := newMemoryTarget()
	cfg := janitor.Config{ArchiveRetention: month, Target: target, ExportRows: 20, MoveLimit: 20}
	{
		w := newWorld(t)
		history(w)
		store := w.traced(count, "janitor")
		report, err := w.janitor(store, cfg).Run(t.Context(), time.Now().Add(time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%d statements: %+v", count.n.Load(), report.Counts)
	}
	// A run asks again for a lock that is taken, so runs of a busy machine may have some
	// statements more than others. Each has at least these.
	const least = 30
	statements := count.n.Load()
	if statements < least {
		t.Fatalf("a run has %d statements", statements)
	}
	for at := int64(1); at <= statements; at++ {
		t.Run(fmt.Sprint(at), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			written := history(w)
			k := &tracer{before: func(n int64) error {
				if n >= at {
					return doomed{}
				}
				return nil
			}}
			store := w.traced(k, "janitor")
			target := newMemoryTarget()
			cfg := cfg
			cfg.Target = target
			if _, err := w.janitor(store, cfg).Run(t.Context(), time.Now().Add(time.Minute)); err == nil && (at <= least || k.n.Load() >= at) {
				t.Error("it was not killed")
			}
			dropped := query[int](t, w.pool, "select coalesce(sum(rows), 0) from outbox.exports where removed_at is not null")
			w.once(written - dropped)
			unsent(w, 3)
			w.run(cfg)
			if got := w.where(); got["outbox.archive_p000000"] != 0 || got["outbox.archive_p000001"] != 50 || got["outbox.events_p000002"] != 49 ||
				got["outbox.archive_p000003"] != 50 || got["outbox.archive_p000004"] != 49 || got["outbox.archive_p000099"] != 1 {
				t.Errorf("rows %v", got)
			}
			w.once(written - 50)
			unsent(w, 3)
			exported := map[int64]bool{}
			for _, r := range target.rows(t) {
				exported[r.ID] = true
			}
			if len(exported) != 50 {
				t.Errorf("%d rows exported", len(exported))
			}
			if n := query[int](t, w.pool, "select count(*) from pg_constraint where conname = 'being_archived'"); n != 0 {
				t.Error("a partition is left sealed")
			}
		})
	}
}

// unsent makes sure that so many unsent rows are in outbox.events.
func unsent(w *world, want int) {
	w.t.Helper()
	if n := query[int](w.t, w.pool, "select count(*) from outbox.events where sent_at is null"); n != want {
		w.t.Errorf("%d unsent rows, want %d: %v", n, want, w.where())
	}
}

// stress is a relay, writers and janitors at work in one outbox.
type stress struct {
	*world
	group   sync.WaitGroup
	stop    chan struct{}
	mu      sync.Mutex
	written map[string]bool
}

func (s *stress) go1(every time.Duration, f func(ctx context.Context) error) {
	ctx := s.t.Context()
	s.group.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			if err := f(ctx); err != nil {
				s.t.Error(err)
			}
			select {
			case <-s.stop:
				return
			case <-tick.C:
			}
		}
	})
}

// write commits a transaction of events that stays open for a while.
func (s *stress) transaction(open time.Duration, aggregate string, n int) func(ctx context.Context) error {
	sequence := 0
	return func(ctx context.Context) error {
		tx, err := s.pool.Begin(ctx)
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
		var events []outbox.Event
		for range n {
			sequence++
			events = append(events, outbox.Event{
				AggregateType: "order", AggregateID: aggregate, Type: "order.changed", Payload: json.RawMessage(fmt.Sprint(sequence)),
			})
		}
		ids, err := outbox.Enqueue(ctx, tx, events...)
		if err != nil {
			return fmt.Errorf("enqueue: %w", err)
		}
		if open > 0 {
			timer := time.NewTimer(open)
			defer timer.Stop()
			<-timer.C
		}
		if err = tx.Commit(ctx); err != nil {
			return fmt.Errorf("commit: %w", err)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, id := range ids {
			s.written[id.String()] = true
		}
		return nil
	}
}

// Two janitors with a retention of a second, whose sessions are killed all the
// time, beside a relay, transactions that stay open for longer than the
// retention, partitions that close twice a second, and events that die and are
// put back under their old ids.
func TestJanitorsBesideARelayUnderLoad(t *testing.T) {
	t.Parallel()
	// Direct: a pooler lends the sessions that are killed to everybody.
	w := newWorld(t, outboxtest.Direct())
	s := &stress{world: w, stop: make(chan struct{}), written: map[string]bool{}}

	var died sync.Map
	broker := &memory.Broker{Judge: func(_ int, msgs []outbox.Message, i int) outbox.Result {
		if id := msgs[i].DeduplicationID; len(id) == 36 && id[35] == '7' {
			if _, again := died.LoadOrStore(id, true); !again {
				return outbox.Result{Class: outbox.Rejected, Code: "Poison", Err: errors.New("poison")}
			}
		}
		return outbox.Result{Class: outbox.Accepted}
	}}
	// carry lets relays follow each other until stop is called: one whose lease lapsed may
	// be expired by a janitor.
	carry := func() (stop func()) {
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() {
			for ctx.Err() == nil {
				carrier, err := relay.New(pgstore.New(w.pool), relay.Config{
					Destinations: map[string]relay.Destination{"default": {Sink: broker}}, SweepEvery: 200 * time.Millisecond,
					LeaseTTL: time.Minute, Logger: slog.New(slog.DiscardHandler),
				})
				if err == nil {
					_, err = carrier.Run(ctx, time.Now().Add(time.Hour))
				}
				if err != nil {
					t.Errorf("relay: %v", err)
					return
				}
			}
		})
		return func() {
			cancel()
			running.Wait()
		}
	}
	stop := carry()
	for i := range 4 {
		s.go1(10*time.Millisecond, s.transaction(0, fmt.Sprint("busy", i), 5))
	}
	s.go1(2100*time.Millisecond, s.transaction(1500*time.Millisecond, "slow", 3))
	ticks := 0
	s.go1(500*time.Millisecond, func(ctx context.Context) error {
		// Some stay open for longer than the retention: their rows are moved. Every
		// partition that is closed adds a million ids to those that a sweep reads
		// through, so there are as few on a slow machine as on a quick one.
		if ticks++; ticks%6 > 2 || ticks > 12 {
			return nil
		}
		_, closeErr := w.pool.Exec(ctx, "select setval('outbox.events_id_seq', (outbox.current_partition() + 1) * outbox.partition_size())")
		return closeErr
	})
	s.go1(50*time.Millisecond, func(ctx context.Context) error { return redrive(ctx, w.pool) })

	var archived, moved, killed atomic.Int64
	for i := range 2 {
		store := w.traced(nil, fmt.Sprint("janitor", i))
		j := w.janitor(store, janitor.Config{Retention: time.Second, MoveLimit: 50, Attempts: 3, Reserve: time.Second})
		s.go1(time.Millisecond, func(ctx context.Context) error {
			// A killed session fails a run; that is not the question here.
			report, _ := j.Run(ctx, time.Now().Add(3*time.Second))
			archived.Add(report.Archived)
			moved.Add(report.Moved)
			return nil
		})
	}
	s.go1(40*time.Millisecond, func(ctx context.Context) error {
		var n int64
		killErr := w.pool.QueryRow(ctx, `select count(*) filter (where pg_terminate_backend(pid)) from pg_stat_activity
			where datname = current_database() and application_name like 'janitor%' and state = 'active' and random() < 0.5`).Scan(&n)
		killed.Add(n)
		return killErr
	})

	load := time.NewTimer(6 * time.Second)
	<-load.C
	w.until("the janitors have archived, moved and been killed", func() bool {
		return archived.Load() > 0 && moved.Load() > 0 && killed.Load() > 0
	})
	close(s.stop)
	s.group.Wait()
	w.until("all events were sent once", func() bool {
		return query[int](t, w.pool, "select count(*) from outbox.events where sent_at is null and replays = 0") == 0
	})
	stop()
	if err := redrive(t.Context(), w.pool); err != nil {
		t.Fatal(err)
	}
	// The events put back are found by a sweep, of which a new relay begins one at once:
	// the longer a sweep takes, the longer is the time until the next.
	stop = carry()
	w.until("all events were sent", func() bool {
		if err := redrive(t.Context(), w.pool); err != nil {
			t.Fatal(err)
		}
		return query[int](t, w.pool, "select (select count(*) from outbox.events where sent_at is null) + (select count(*) from outbox.dead_letters)") == 0
	})
	stop()
	w.until("all partitions but the last are archived", func() bool {
		w.run(janitor.Config{Retention: time.Second})
		return query[int](t, w.pool, "select count(*) from outbox.events") == 0
	})

	t.Logf("%d events, %d partitions archived, %d rows moved, %d sessions killed", len(s.written), archived.Load(), moved.Load(), killed.Load())
	w.once(len(s.written))
	delivered := map[string]int{}
	for _, a := range broker.Log() {
		for _, at := range a.Message.Attributes {
			if at.Name == outbox.AttributeEventID {
				delivered[at.Value]++
			}
		}
	}
	for id := range s.written {
		if delivered[id] == 0 {
			t.Errorf("event %s was not delivered", id)
		}
	}
	if len(delivered) != len(s.written) {
		t.Errorf("%d events delivered, %d written", len(delivered), len(s.written))
	}
}

// redrive puts dead letters back under their ids, as the redrive does: one whose
// partition is being archived waits.
func redrive(ctx context.Context, pool *pgxpool.Pool) error {
	_, err := pool.Exec(ctx, `
		with d as (delete from outbox.dead_letters returning *)
		insert into outbox.events (id, created_at, event_id, replays, aggregate_type, aggregate_id, event_type, destination, payload, headers)
		overriding system value
		select id, created_at, event_id, replays + 1, aggregate_type, aggregate_id, event_type, destination, payload, headers from d`)
	if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok && pgErr.ConstraintName == "being_archived" {
		return nil
	}
	return err
}

// patience is how long a test waits for what must happen.
const patience = 4 * time.Minute

// until waits for what must happen.
func (w *world) until(what string, ok func() bool) {
	w.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	late := time.NewTimer(patience)
	defer late.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-late.C:
			w.t.Fatalf("%s: not within %v: %v", what, patience, w.where())
		}
	}
}
