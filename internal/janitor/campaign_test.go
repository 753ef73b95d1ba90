package janitor_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/serverless-outbox/serverless-outbox/internal/janitor"
	"github.com/serverless-outbox/serverless-outbox/internal/pgadmin"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/memory"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/pgstore"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

const (
	phases     = 3
	phaseTime  = 8 * time.Second
	lockBar    = time.Second
	p99Bar     = 1.5
	perPhase   = janitor.PartitionSize
	writeEvery = 5 * time.Millisecond
)

// BenchmarkArchiveBesideARelay archives a million rows in each of three phases,
// with calm phases between them, while a relay carries 2,000 events a second. It
// fails when writers and relay are kept out for more than a second for a
// million rows, or when the p99 from insert to acceptance of the phases with
// archiving is more than 1.5 times that of the calm ones.
func BenchmarkArchiveBesideARelay(b *testing.B) {
	pool := outboxtest.DB(b, outboxtest.MaxConns(12))
	store := pgstore.New(pool)
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	exec := func(sql string, args ...any) {
		if _, err := pool.Exec(ctx, sql, args...); err != nil {
			b.Fatalf("%s: %v", sql, err)
		}
	}
	for i := range phases {
		exec("select setval('outbox.events_id_seq', greatest($1::bigint * outbox.partition_size(), 1), false)", i)
		exec(`insert into outbox.events (aggregate_type, aggregate_id, event_type, payload, created_at, sent_at, message_id, sequence_number)
			select 'order', (i % 1000)::text, 'order.changed', json_build_object('n', i, 'text', repeat('x', 300)),
			       now() - $1::integer * interval '2 days', now() - $1::integer * interval '2 days', 'm', i::text
			from generate_series(1, $2::integer) i`, phases-i, perPhase-10)
	}
	exec(fmt.Sprintf("select setval('outbox.events_id_seq', %d, false)", phases*janitor.PartitionSize))
	// A relay that ran all the time would have read these.
	exec("update outbox.shards set low = $1", phases*janitor.PartitionSize-1)
	exec("vacuum analyze outbox.events_p000000, outbox.events_p000001, outbox.events_p000002")

	broker := &memory.Broker{Delay: 5 * time.Millisecond}
	carrier, err := relay.New(store, relay.Config{Destinations: map[string]relay.Destination{"default": {Sink: broker}}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	var group sync.WaitGroup
	group.Go(func() {
		if _, runErr := carrier.Run(ctx, time.Now().Add(time.Hour)); runErr != nil {
			b.Errorf("relay: %v", runErr)
		}
	})
	stop := make(chan struct{})
	var written atomic.Int64
	group.Go(func() { produce(b, pool, stop, &written) })
	var sampled, seen atomic.Int64
	group.Go(func() {
		// Each look that finds the lock stands for the time since the last.
		last := time.Now()
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
			}
			var held int64
			_ = pool.QueryRow(ctx, `select count(*) from pg_locks where relation = 'outbox.events'::regclass and mode = 'AccessExclusiveLock' and granted`).Scan(&held)
			if now := time.Now(); held > 0 {
				sampled.Add(int64(now.Sub(last)))
			}
			seen.Add(1)
			last = time.Now()
		}
	})

	type span struct {
		from, to time.Time
		archives bool
	}
	var spans []span
	var locked, longest time.Duration
	var archived int64
	for i := range 2 * phases {
		s := span{from: time.Now(), archives: i%2 == 1}
		end := time.NewTimer(phaseTime)
		if s.archives {
			j, newErr := janitor.New(pgadmin.New(pool), janitor.Config{Retention: time.Duration(phases-i/2)*48*time.Hour - 24*time.Hour, Logger: slog.New(slog.DiscardHandler)})
			if newErr != nil {
				b.Fatal(newErr)
			}
			report, runErr := j.Run(ctx, time.Now().Add(time.Minute))
			if runErr != nil || report.Archived != 1 {
				b.Errorf("phase %d: %+v, %v", i, report, runErr)
			}
			archived += report.Archived
			locked += time.Duration(report.LockedSeconds * float64(time.Second))
			longest = max(longest, time.Duration(report.LongestLockSeconds*float64(time.Second)))
		}
		<-end.C
		s.to = time.Now()
		spans = append(spans, s)
	}
	close(stop)
	drained := time.NewTimer(3 * time.Second)
	<-drained.C
	cancel()
	group.Wait()

	var calm, busy []time.Duration
	rows, err := pool.Query(b.Context(), "select event_id::text, created_at from outbox.events where id > $1", phases*janitor.PartitionSize-1)
	if err != nil {
		b.Fatal(err)
	}
	created := map[string]time.Time{}
	var id string
	var at time.Time
	if _, err := pgx.ForEachRow(rows, []any{&id, &at}, func() error { created[id] = at; return nil }); err != nil {
		b.Fatal(err)
	}
	log := broker.Log()
	for _, a := range log {
		born := created[a.Message.DeduplicationID]
		for _, s := range spans {
			if born.After(s.from.Add(500*time.Millisecond)) && born.Before(s.to) {
				if s.archives {
					busy = append(busy, a.At.Sub(born))
				} else {
					calm = append(calm, a.At.Sub(born))
				}
			}
		}
	}
	if int64(len(log)) != written.Load() || len(created) != len(log) {
		b.Errorf("%d written, %d delivered", written.Load(), len(log))
	}
	without, with := p99(calm), p99(busy)
	perMillion := time.Duration(float64(locked) / float64(max(1, archived)))
	b.ReportMetric(float64(perMillion.Microseconds())/1000, "locked-ms/1M-rows")
	b.ReportMetric(float64(longest.Microseconds())/1000, "longest-lock-ms")
	b.ReportMetric(float64(sampled.Load())/1e6/float64(max(1, archived)), "sampled-ms/1M-rows")
	b.ReportMetric(float64(without.Microseconds())/1000, "p99-ms-without")
	b.ReportMetric(float64(with.Microseconds())/1000, "p99-ms-with")
	b.Logf("%d events at %.0f/s; %d looks at the locks", len(log), float64(len(log))/(2*phases*phaseTime.Seconds()), seen.Load())
	if perMillion > lockBar {
		b.Errorf("kept out for %v a million rows, more than %v", perMillion, lockBar)
	}
	if len(calm) == 0 || len(busy) == 0 || float64(with) > p99Bar*float64(without) {
		b.Errorf("p99 %v with archiving, %v without: more than %v times", with, without, p99Bar)
	}
}

// produce writes ten events every five milliseconds until stop.
func produce(b *testing.B, db interface {
	Begin(ctx context.Context) (pgx.Tx, error)
}, stop <-chan struct{}, written *atomic.Int64,
) {
	b.Helper()
	tick := time.NewTicker(writeEvery)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		events := make([]outbox.Event, 10)
		for i := range events {
			events[i] = outbox.Event{AggregateType: "order", AggregateID: fmt.Sprint((n*10 + i) % 1000), Type: "order.changed", Payload: json.RawMessage(`{"n":1}`)}
		}
		err := pgx.BeginFunc(b.Context(), db, func(tx pgx.Tx) error {
			_, err := outbox.Enqueue(b.Context(), tx, events...)
			return err
		})
		if err != nil {
			b.Errorf("write: %v", err)
			return
		}
		written.Add(int64(len(events)))
	}
}

func p99(latencies []time.Duration) time.Duration {
	if len(latencies) == 0 {
		return 0
	}
	slices.Sort(latencies)
	return latencies[len(latencies)*99/100]
}
