package pgadmin

import (
	"context"
	"strconv"
	"time"

	"github.com/serverless-outbox/serverless-outbox/internal/janitor"
	"github.com/serverless-outbox/serverless-outbox/internal/pgdb"
)

// DeleteDeadLetters implements [janitor.Cleaner]: it deletes at most limit dead letters that were buried earlier than
// before and block no lane, keeps a record of each without its payload, and returns how many.
func (s *Store) DeleteDeadLetters(ctx context.Context, before time.Time, limit int) (int64, error) {
	return s.count(ctx, "delete dead letters", "select outbox.delete_dead_letters($1::timestamp with time zone, $2::integer)", before, pgdb.Limit(limit))
}

// DeleteRedrives implements [janitor.Cleaner]: it deletes records of redrives, of runs over dead-letter queues and of
// deleted dead letters from earlier than before, at most limit of each, and returns how many. Records of runs of the last
// 30 days stay.
func (s *Store) DeleteRedrives(ctx context.Context, before time.Time, limit int) (int64, error) {
	const sql = `select outbox.delete_redrives($1::timestamp with time zone, $2::integer)
		operator(pg_catalog.+) outbox.delete_dlq_redrives($1::timestamp with time zone, $2::integer)`
	return s.count(ctx, "delete redrives", sql, before, pgdb.Limit(limit))
}

// ExpireRelays implements [janitor.Cleaner]: it deletes relays whose leases lapsed earlier than before, frees their
// shards and returns how many relays it deleted.
func (s *Store) ExpireRelays(ctx context.Context, before time.Time) (int64, error) {
	return s.count(ctx, "expire relays", "select outbox.expire_relays($1::timestamp with time zone)", before)
}

// count runs sql, which calls a function of the schema that returns how many rows it deleted, and returns that number.
// Errors begin with op, the name of the operation.
func (s *Store) count(ctx context.Context, op, sql string, args ...any) (int64, error) {
	var n int64
	err := s.one(ctx, op, sql, args, &n)
	return n, err
}

// Health implements [janitor.Inspector]: it reads the state of the outbox. Counts stop at limit, and an unsent event
// that is older than alarm counts as stale.
func (s *Store) Health(ctx context.Context, alarm time.Duration, limit int) (janitor.Health, error) {
	const sql = "select outbox.health($1::interval, $2::integer)::pg_catalog.text"
	var h janitor.Health
	err := s.document(ctx, "health", sql, []any{strconv.FormatInt(alarm.Microseconds(), 10) + " microseconds", pgdb.Limit(limit)}, &h)
	return h, err
}

// End implements [janitor.Inspector]: it stores the present time as the end of the last run of the janitor.
func (s *Store) End(ctx context.Context) error {
	return s.exec(ctx, "end", "select outbox.end_janitor()")
}
