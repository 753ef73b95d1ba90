package pgstore_test

import (
	"testing"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/pgstore"
)

// The database sends no payload above the bound, nor its headers, whatever its size is once it is compressed.
func TestReadsLeaveLargePayloadsInTheDatabase(t *testing.T) {
	t.Parallel()
	pool := outboxtest.DB(t)
	exec(t, pool, `insert into outbox.events (aggregate_type, aggregate_id, event_type, payload, headers)
		select 'order', '7', 'e', ('"' || repeat('x', n - 2) || '"')::json, '{"k": "v"}' from unnest(array[100, 101, 500000]) as n`)
	shards := make([]int16, 64)
	for i := range shards {
		shards[i] = int16(i) //nolint:gosec // 0 to 63
	}
	for name, c := range map[string]struct {
		statement string
		args      []any
	}{
		"scan":        {"scan", []any{int64(0), shards, 10}},
		"lane":        {"backfill", []any{"default", "order", "7", int64(1), int64(100), shards, 10, 10, false}},
		"destination": {"backfill", []any{"default", "", "", int64(1), int64(100), shards, 10, 10, false}},
		"sweep":       {"sweep", []any{[]string{"default"}, int64(1), int64(100), shards, 10}},
		"gaps":        {"gaps", []any{[]int64{1}, []int64{100}, shards, 10}},
	} {
		for bound, want := range map[int]int{99: 0, 100: 1, 101: 2, 500_000: 3} {
			sql := "select count(r.payload) * 100 + count(r.headers) * 10 + count(r.event_id) from (" + pgstore.Statements()[c.statement] + ") as r"
			if got := query[int](t, pool, sql, append(c.args, bound)...); got != want*110+3 {
				t.Errorf("%s, payloads of at most %d bytes: %d, want %d payloads and headers of 3 rows", name, bound, got, want)
			}
		}
	}
	if got := query[string](t, pool, "select string_agg(octet_length(payload::text)::text, ' ' order by id) from outbox.read_content('{1,2,3}')"); got != "100 101 500000" {
		t.Errorf("payloads read apart have %s bytes", got)
	}
}
