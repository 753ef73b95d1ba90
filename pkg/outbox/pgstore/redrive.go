package pgstore

import (
	"context"
	_ "embed"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/serverless-outbox/serverless-outbox/internal/redrive"
	"github.com/serverless-outbox/serverless-outbox/internal/redrive/rows"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

var (
	//go:embed sql/redrive_dead_letters.sql
	redriveDeadLettersSQL string
	//go:embed sql/release_blocked.sql
	releaseBlockedSQL string
)

var _ rows.Store = (*Store)(nil)

// RedriveDeadLetters implements [rows.Store], in one round trip. The login needs
// the role outbox_redrive.
func (s *Store) RedriveDeadLetters(ctx context.Context, b rows.Batch) ([]rows.Row, error) {
	args := append([]any{clean(b.RequestID), b.After, rowLimit(b.Limit), optional(b.Request.Redirect), b.Request.Confirm, b.Request.DryRun},
		filters(b.Request)...)
	return s.redriven(ctx, "redrive dead letters", redriveDeadLettersSQL, args)
}

// ReleaseBlocked implements [rows.Store], in one round trip. The login needs the
// role outbox_redrive.
func (s *Store) ReleaseBlocked(ctx context.Context, b rows.Batch) ([]rows.Row, error) {
	args := append([]any{clean(b.RequestID), b.After, rowLimit(b.Limit), b.Request.Confirm, b.Request.DryRun},
		filters(b.Request)...)
	return s.redriven(ctx, "release blocked", releaseBlockedSQL, args)
}

func (s *Store) redriven(ctx context.Context, op, sql string, args []any) ([]rows.Row, error) {
	var out []rows.Row
	err := s.do(ctx, op, func(conn *pgxpool.Conn) error {
		found, err := conn.Query(ctx, sql, args...)
		if err != nil {
			return err //nolint:wrapcheck // translated by do
		}
		out, err = pgx.CollectRows(found, scanRedriven)
		return err //nolint:wrapcheck // translated by do
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func scanRedriven(found pgx.CollectableRow) (rows.Row, error) {
	var r rows.Row
	var eventID, outcome string
	var lane outbox.Lane
	if err := found.Scan(&r.ID, &eventID, &lane.Destination, &lane.AggregateType, &lane.AggregateID, &outcome, &r.Ordered); err != nil {
		return r, err //nolint:wrapcheck // translated by do
	}
	r.Lane, r.Outcome = lane, rows.Outcome(outcome)
	if eventID == "" {
		return r, nil
	}
	id, err := uuid.Parse(eventID)
	if err != nil {
		return r, fmt.Errorf("event id: %w", err)
	}
	r.EventID = id
	return r, nil
}

// filters are those of a request as the functions of the database take them:
// null where one is not set, ids and times in forms that every protocol mode
// can send.
func filters(r *redrive.Request) []any {
	var ids []string
	for _, id := range r.EventIDs {
		ids = append(ids, id.String())
	}
	return []any{
		ids, optional(r.Destination), optional(r.AggregateType), optional(r.AggregateID), optional(r.EventType),
		optionalTime(r.From), optionalTime(r.To), optionalID(r.IDFrom), optionalID(r.IDTo),
	}
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func optionalTime(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func optionalID(id int64) *int64 {
	if id == 0 {
		return nil
	}
	return &id
}
