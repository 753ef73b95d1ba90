package pgstore_test

import (
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/storetest"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/pgstore"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T, f func(*testing.T, storetest.Harness)) {
		t.Helper()
		pool := outboxtest.DB(t)
		f(t, storetest.Harness{
			Store: pgstore.New(pool),
			Begin: func(t *testing.T) storetest.Tx { return writer{begin(t, pool)} }, //nolint:thelper // an adapter
			Release: func(t *testing.T, lane outbox.Lane) { //nolint:thelper // an adapter
				exec(t, pool, `update outbox.blocked set released_at = clock_timestamp()
					where (destination, aggregate_type, aggregate_id) = ($1::text, $2::text, $3::text)`,
					lane.Destination, lane.AggregateType, lane.AggregateID)
			},
			Redrive: func(t *testing.T, id int64) { //nolint:thelper // an adapter
				const sql = "select outbox.put_back(d, null, 'dead_letters', 'test') from outbox.dead_letters d where d.id = $1::bigint"
				if got := query[string](t, pool, sql, id); got != "redriven" {
					t.Fatalf("redrive: %s", got)
				}
			},
			Blocked: func(t *testing.T, lane outbox.Lane) bool { //nolint:thelper // an adapter
				return query[bool](t, pool, `select exists (select from outbox.blocked
					where (destination, aggregate_type, aggregate_id) = ($1::text, $2::text, $3::text) and released_at is null)`,
					lane.Destination, lane.AggregateType, lane.AggregateID)
			},
		})
	})
}

type writer struct{ tx pgx.Tx }

func (w writer) Enqueue(t *testing.T, e outbox.Event) int64 {
	t.Helper()
	if _, err := outbox.Enqueue(t.Context(), w.tx, e); err != nil {
		t.Fatal(err)
	}
	return query[int64](t, w.tx, "select id from outbox.events where event_id = $1::uuid", e.EventID.String())
}

func (w writer) Commit(t *testing.T) {
	t.Helper()
	if err := w.tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func (w writer) Rollback(t *testing.T) {
	t.Helper()
	if err := w.tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
}
