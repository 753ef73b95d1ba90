package history

import (
	"context"
	_ "embed"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

//go:embed finals.sql
var finalsSQL string

// Row is the final state of one event, with further columns of its row.
type Row struct {
	Final
	Lane outbox.Lane
	// SequenceNumber and SentAt are the broker's number of the message and the time of the mark, for a row that is
	// marked as sent; otherwise empty and zero.
	SequenceNumber string
	SentAt         time.Time
}

// Querier is a pool, a connection or a transaction of pgx.
type Querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// ReadFinals reads every row of the outbox in db (pending, blocked, sent, archived or
// dead letter), records its final state, and then calls each with the row unless each is
// nil. After an error the states read before it stay recorded.
func (r *Recorder) ReadFinals(ctx context.Context, db Querier, each func(Row)) error {
	rows, err := db.Query(ctx, finalsSQL)
	if err != nil {
		return fmt.Errorf("read the final states: %w", err)
	}
	states := map[string]State{"sent": Sent, "pending": Pending, "blocked": Blocked, "dead": Dead}
	var id uuid.UUID
	var lane outbox.Lane
	var state, messageID, sequence, reason string
	var sentAt *time.Time
	_, err = pgx.ForEachRow(rows, []any{&id, &lane.Destination, &lane.AggregateType, &lane.AggregateID, &state, &messageID, &sequence, &sentAt, &reason}, func() error {
		row := Row{Final: Final{EventID: id, State: states[state], MessageID: messageID, Reason: reason}, Lane: lane, SequenceNumber: sequence}
		if sentAt != nil {
			row.SentAt = *sentAt
		}
		r.Final(row.Final)
		if each != nil {
			each(row)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read the final states: %w", err)
	}
	return nil
}
