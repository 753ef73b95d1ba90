package pgstore_test

import (
	"strconv"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/pgstore"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

// load copies n events of 500 bytes into an empty outbox and leaves it
// without statistics.
func load(b *testing.B, pool *pgxpool.Pool, n int) {
	b.Helper()
	if _, err := pool.Exec(b.Context(), "alter table outbox.events_p000000 set (autovacuum_enabled = false)"); err != nil {
		b.Fatal(err)
	}
	payload := `{"pad": "` + string(make500()) + `"}`
	_, err := pool.CopyFrom(b.Context(), pgx.Identifier{"outbox", "events"},
		[]string{"aggregate_type", "aggregate_id", "event_type", "payload"},
		pgx.CopyFromSlice(n, func(i int) ([]any, error) {
			return []any{"order", strconv.Itoa(i % 5000), "order.placed", payload}, nil
		}))
	if err != nil {
		b.Fatal(err)
	}
}

func make500() []byte {
	pad := make([]byte, 490)
	for i := range pad {
		pad[i] = 'x'
	}
	return pad
}

// BenchmarkFetch reads 1,000 events, without and with the writers and ten gaps.
func BenchmarkFetch(b *testing.B) {
	const rows, batch = 200_000, 1000
	pool := outboxtest.DB(b)
	load(b, pool, rows)
	store := pgstore.New(pool)
	gaps := make([]relay.Range, 10)
	for i := range gaps {
		gaps[i] = relay.Range{From: int64(1 + i*1000), To: int64(1 + i*1000)}
	}
	for name, f := range map[string]relay.Fetch{
		"scan":      {Shards: allShards()},
		"with_gaps": {Shards: allShards(), Gaps: gaps, GapLimit: batch, Writers: true},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			after := int64(0)
			for b.Loop() {
				f.Scans = []relay.Scan{{After: after, Limit: batch}}
				got, err := store.Fetch(b.Context(), f)
				if err != nil || len(got.Scans[0]) != batch {
					b.Fatalf("%d rows, %v", len(got.Scans[0]), err)
				}
				after = (after + batch) % (rows - batch)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*batch), "ns/event")
		})
	}
	b.Run("idle", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := store.Fetch(b.Context(), relay.Fetch{Shards: allShards(), Scans: []relay.Scan{{After: rows, Limit: batch}}}); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkSettle marks 500 events of one relay among four, so every fourth.
func BenchmarkSettle(b *testing.B) {
	const rows, batch = 200_000, 500
	pool := outboxtest.DB(b)
	load(b, pool, rows)
	store := pgstore.New(pool)
	id := relayOf(b, store)
	next := 0
	b.ReportAllocs()
	for b.Loop() {
		ids := make([]int64, batch)
		for i := range ids {
			n := next + i
			ids[i] = int64(1 + (n*4)%rows + n*4/rows)
		}
		next += batch
		if next+batch > rows {
			b.StopTimer()
			if _, err := pool.Exec(b.Context(), "update outbox.events set sent_at = null, message_id = null where sent_at is not null"); err != nil {
				b.Fatal(err)
			}
			if _, err := pool.Exec(b.Context(), "vacuum outbox.events_p000000"); err != nil {
				b.Fatal(err)
			}
			next = 0
			b.StartTimer()
		}
		b.StopTimer()
		st := identified(b, pool, accept(ids...))
		b.StartTimer()
		got, err := store.Settle(b.Context(), id, st)
		if err != nil || got.Accepted != batch {
			b.Fatalf("settled %+v, %v", got, err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*batch), "ns/event")
}

func BenchmarkRenew(b *testing.B) {
	store := pgstore.New(outboxtest.DB(b))
	id := relayOf(b, store)
	for b.Loop() {
		if _, err := store.Renew(b.Context(), relay.Renewal{RelayID: id, TTL: ttl, Relays: 1, Position: relay.Position{Low: 5}}); err != nil {
			b.Fatal(err)
		}
	}
}
