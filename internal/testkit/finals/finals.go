// Package finals reads where every event of an outbox ended, for the judgement
// of a history.
package finals

import (
	"context"
	_ "embed"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/history"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

//go:embed read.sql
var readSQL string

// Row is where one event ended.
type Row struct {
	history.Final
	Lane outbox.Lane
	// SequenceNumber and SentAt are the marks of a row that was sent.
	SequenceNumber string
	SentAt         time.Time
}

// Querier is a pool, a connection or a transaction.
type Querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// Record tells rec of every row of the outbox of db, and each as well when it
// is not nil.
func Record(ctx context.Context, db Querier, rec *history.Recorder, each func(Row)) error {
	rows, err := db.Query(ctx, readSQL)
	if err != nil {
		return fmt.Errorf("read the final states: %w", err)
	}
	states := map[string]history.State{"sent": history.Sent, "pending": history.Pending, "blocked": history.Blocked, "dead": history.Dead}
	var id uuid.UUID
	var lane outbox.Lane
	var state, messageID, sequence, reason string
	var sentAt *time.Time
	_, err = pgx.ForEachRow(rows, []any{&id, &lane.Destination, &lane.AggregateType, &lane.AggregateID, &state, &messageID, &sequence, &sentAt, &reason}, func() error {
		r := Row{Final: history.Final{EventID: id, State: states[state], MessageID: messageID, Reason: reason}, Lane: lane, SequenceNumber: sequence}
		if sentAt != nil {
			r.SentAt = *sentAt
		}
		rec.Final(r.Final)
		if each != nil {
			each(r)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read the final states: %w", err)
	}
	return nil
}
