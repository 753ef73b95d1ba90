package pgadmin

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/serverless-outbox/serverless-outbox/internal/pgdb"
	"github.com/serverless-outbox/serverless-outbox/internal/redrive"
	"github.com/serverless-outbox/serverless-outbox/internal/redrive/rows"
)

// RedriveDeadLetters implements [rows.Store]: it puts the next b.Limit dead letters that pass the filters back into
// outbox.events, where that keeps order or b confirms it. The login needs the role outbox_redrive.
func (s *Store) RedriveDeadLetters(ctx context.Context, b rows.Batch) ([]rows.Row, error) {
	const sql = `
		select r.id, r.event_id, coalesce(r.destination, ''), coalesce(r.aggregate_type, ''),
		       coalesce(r.aggregate_id, ''), r.outcome, coalesce(r.ordered, false)
		from outbox.redrive_dead_letters(
			$1::pg_catalog.text, $2::bigint, $3::integer, $4::pg_catalog.text, $5::boolean, $6::boolean,
			$7::pg_catalog.text[]::pg_catalog.uuid[], $8::pg_catalog.text, $9::pg_catalog.text, $10::pg_catalog.text, $11::pg_catalog.text,
			$12::timestamp with time zone, $13::timestamp with time zone, $14::bigint, $15::bigint) as r`
	args := []any{pgdb.Text(b.RequestID), b.After, pgdb.Limit(b.Limit), optional(b.Request.Redirect), b.Request.Confirm, b.Request.DryRun}
	return s.redriven(ctx, "redrive dead letters", sql, append(args, filters(b.Request)...))
}

// ReleaseBlocked implements [rows.Store]: it releases the next b.Limit blocked lanes that pass the filters, and puts
// the dead letters that block them back, unless b confirms to go on without them. The login needs the role
// outbox_redrive.
func (s *Store) ReleaseBlocked(ctx context.Context, b rows.Batch) ([]rows.Row, error) {
	const sql = `
		select r.id, r.event_id, r.destination, r.aggregate_type, r.aggregate_id, r.outcome, r.ordered
		from outbox.release_blocked(
			$1::pg_catalog.text, $2::bigint, $3::integer, $4::boolean, $5::boolean,
			$6::pg_catalog.text[]::pg_catalog.uuid[], $7::pg_catalog.text, $8::pg_catalog.text, $9::pg_catalog.text, $10::pg_catalog.text,
			$11::timestamp with time zone, $12::timestamp with time zone, $13::bigint, $14::bigint) as r`
	args := []any{pgdb.Text(b.RequestID), b.After, pgdb.Limit(b.Limit), b.Request.Confirm, b.Request.DryRun}
	return s.redriven(ctx, "release blocked", sql, append(args, filters(b.Request)...))
}

// redriven runs sql with args and returns its rows: what became of each dead letter, or of each blocked lane. Errors
// begin with op, the name of the operation.
func (s *Store) redriven(ctx context.Context, op, sql string, args []any) ([]rows.Row, error) {
	var out []rows.Row
	err := s.each(ctx, op, sql, args, func(found pgx.Rows) (bool, error) {
		var r rows.Row
		var eventID pgtype.UUID
		var answer string
		err := found.Scan(&r.ID, &eventID, &r.Lane.Destination, &r.Lane.AggregateType, &r.Lane.AggregateID, &answer, &r.Ordered)
		r.Outcome, r.EventID = rows.Outcome(answer), eventID.Bytes
		out = append(out, r)
		return true, err //nolint:wrapcheck // named by call
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// filters returns the filters of a request as arguments of the functions of the schema, null where one is not set:
// event ids, destination, aggregate type, aggregate id, event type, lower and upper bound of created_at, lower and
// upper bound of the row's id. The event ids are texts, which pgx can send in each of its query modes.
func filters(r *redrive.Request) []any {
	var ids []string
	for _, id := range r.EventIDs {
		ids = append(ids, id.String())
	}
	return []any{
		ids, optional(r.Destination), optional(r.AggregateType), optional(r.AggregateID), optional(r.EventType),
		optional(r.From), optional(r.To), optional(r.IDFrom), optional(r.IDTo),
	}
}

// optional returns nil, which is null in SQL, for the zero value, else a pointer to v.
func optional[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}
