package stores_test

import (
	"context"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/pgstore"
)

func TestPostgres(t *testing.T) {
	t.Parallel()
	conform(t, func(t *testing.T, f func(*testing.T, harness)) {
		t.Helper()
		pool := outboxtest.DB(t)
		f(t, harness{
			store: pgstore.New(pool),
			begin: func(t *testing.T) writer { //nolint:thelper // an adapter
				tx, err := pool.Begin(t.Context())
				if err != nil {
					t.Fatalf("begin: %v", err)
				}
				t.Cleanup(func() { _ = tx.Rollback(context.Background()) })
				return postgresWriter{tx}
			},
			release: func(t *testing.T, lane outbox.Lane) { //nolint:thelper // an adapter
				if _, err := pool.Exec(t.Context(), `update outbox.blocked set released_at = clock_timestamp()
					where (destination, aggregate_type, aggregate_id) = ($1::text, $2::text, $3::text)`,
					lane.Destination, lane.AggregateType, lane.AggregateID); err != nil {
					t.Fatalf("release: %v", err)
				}
			},
			redrive: func(t *testing.T, id int64) { //nolint:thelper // an adapter
				const sql = "select outbox.put_back(d, null, 'dead_letters', 'test') from outbox.dead_letters d where d.id = $1::bigint"
				if got := query[string](t, pool, sql, id); got != "redriven" {
					t.Fatalf("redrive: %s", got)
				}
			},
			dead: func(t *testing.T, event uuid.UUID) bool { //nolint:thelper // an adapter
				return query[bool](t, pool, "select exists (select from outbox.dead_letters where event_id = $1::uuid)", event.String())
			},
			explicit: func(t *testing.T, id int64, e outbox.Event) { //nolint:thelper // an adapter
				query[int64](t, pool, `insert into outbox.events (id, event_id, aggregate_type, aggregate_id, event_type, destination, payload)
					overriding system value values ($1::bigint, $2::uuid, $3::text, $4::text, $5::text, $6::text, $7::text::json) returning id`,
					id, e.EventID.String(), e.AggregateType, e.AggregateID, e.Type, e.Destination, string(e.Payload))
			},
			restart: func(t *testing.T, next int64) { //nolint:thelper // an adapter
				query[int64](t, pool, "select setval('outbox.events_id_seq', $1::bigint, false)", next)
			},
			blocked: func(t *testing.T, lane outbox.Lane) bool { //nolint:thelper // an adapter
				return query[bool](t, pool, `select exists (select from outbox.blocked
					where (destination, aggregate_type, aggregate_id) = ($1::text, $2::text, $3::text) and released_at is null)`,
					lane.Destination, lane.AggregateType, lane.AggregateID)
			},
		})
	})
}

// queryer is a pool or a transaction.
type queryer interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// query returns the one value that a statement selects.
func query[T any](t *testing.T, db queryer, sql string, args ...any) T {
	t.Helper()
	var v T
	if err := db.QueryRow(t.Context(), sql, args...).Scan(&v); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return v
}

type postgresWriter struct{ tx pgx.Tx }

func (w postgresWriter) Enqueue(t *testing.T, e outbox.Event) int64 {
	t.Helper()
	if _, err := outbox.Enqueue(t.Context(), w.tx, e); err != nil {
		t.Fatal(err)
	}
	return query[int64](t, w.tx, "select id from outbox.events where event_id = $1::uuid", e.EventID.String())
}

func (w postgresWriter) Commit(t *testing.T) {
	t.Helper()
	if err := w.tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func (w postgresWriter) Rollback(t *testing.T) {
	t.Helper()
	if err := w.tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
}
