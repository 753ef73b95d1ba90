package pgadmin

import (
	"context"
	"time"

	"github.com/serverless-outbox/serverless-outbox/internal/janitor"
)

// DeleteDeadLetters implements [janitor.Cleaner].
func (s *Store) DeleteDeadLetters(ctx context.Context, before time.Time, limit int) (int64, error) {
	return s.count(ctx, "delete dead letters", "select outbox.delete_dead_letters($1::timestamptz, $2::integer)", before, rowLimit(limit))
}

// DeleteRedrives implements [janitor.Cleaner].
func (s *Store) DeleteRedrives(ctx context.Context, before time.Time, limit int) (int64, error) {
	return s.count(ctx, "delete redrives", "select outbox.delete_redrives($1::timestamptz, $2::integer)", before, rowLimit(limit))
}

// ExpireRelays implements [janitor.Cleaner].
func (s *Store) ExpireRelays(ctx context.Context, before time.Time) (int64, error) {
	return s.count(ctx, "expire relays", "select outbox.expire_relays($1::timestamptz)", before)
}

// count runs sql, which calls a function of the schema that returns how many rows it removed, and returns that
// number. op names the operation in errors.
func (s *Store) count(ctx context.Context, op, sql string, args ...any) (int64, error) {
	var n int64
	err := s.one(ctx, op, sql, args, &n)
	return n, err
}

// Health implements [janitor.Inspector].
func (s *Store) Health(ctx context.Context, alarm time.Duration, limit int) (janitor.Health, error) {
	const sql = "select outbox.health($1::bigint * interval '1 microsecond', $2::integer)::text"
	var h janitor.Health
	err := s.document(ctx, "health", sql, []any{alarm.Microseconds(), rowLimit(limit)}, &h)
	return h, err
}

// End implements [janitor.Inspector].
func (s *Store) End(ctx context.Context) error {
	return s.exec(ctx, "end", "select outbox.end_janitor()")
}
