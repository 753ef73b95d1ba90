package pgstore

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/serverless-outbox/serverless-outbox/internal/redrive"
)

var (
	//go:embed sql/list_dead_letters.sql
	listDeadLettersSQL string
	//go:embed sql/list_blocked.sql
	listBlockedSQL string
)

// DeadLetter is an event that the relay gave up.
type DeadLetter struct {
	ID            int64     `json:"id"`
	EventID       uuid.UUID `json:"event_id"`
	Destination   string    `json:"destination"`
	AggregateType string    `json:"aggregate_type"`
	AggregateID   string    `json:"aggregate_id"`
	EventType     string    `json:"event_type"`
	Replays       int       `json:"replays"`
	CreatedAt     time.Time `json:"created_at"`
	DeadAt        time.Time `json:"dead_at"`
	Attempts      int       `json:"attempts"`
	Code          string    `json:"code"`
	Reason        string    `json:"reason"`
	// Blocks says that its lane is on hold for it.
	Blocks bool `json:"blocks"`
	// Payload is the text as it was written, and Headers a JSON object. Both
	// come only when asked for.
	Payload string          `json:"payload,omitempty"`
	Headers json.RawMessage `json:"headers,omitempty"`
}

// DeadLetters lists dead letters that pass the filters of r, behind the id
// after, limit at most, in the order of their ids. With content come payload and
// headers.
func (s *Store) DeadLetters(ctx context.Context, r *redrive.Request, after int64, limit int, content bool) ([]DeadLetter, error) {
	var out []DeadLetter
	err := s.list(ctx, "list dead letters", &out, listDeadLettersSQL, append([]any{after, rowLimit(limit), content}, filters(r)...)...)
	return out, err
}

// BlockedLane is a lane on hold.
type BlockedLane struct {
	// FirstID is where the lane begins.
	FirstID int64 `json:"first_id"`
	// EventID is the event that it is on hold for, Dead whether that is still a
	// dead letter.
	EventID       uuid.UUID  `json:"event_id"`
	Dead          bool       `json:"dead"`
	Destination   string     `json:"destination"`
	AggregateType string     `json:"aggregate_type"`
	AggregateID   string     `json:"aggregate_id"`
	BlockedAt     time.Time  `json:"blocked_at"`
	ReleasedAt    *time.Time `json:"released_at,omitempty"`
	Reason        string     `json:"reason"`
	// Waiting is the number of its events that wait.
	Waiting int `json:"waiting"`
}

// BlockedLanes lists lanes on hold, limit at most, of a destination and an
// aggregate where r names them. What waits is counted among the first examine
// unsent events, so that the cost is bounded.
func (s *Store) BlockedLanes(ctx context.Context, r *redrive.Request, limit, examine int) ([]BlockedLane, error) {
	var out []BlockedLane
	err := s.list(ctx, "list blocked", &out, listBlockedSQL,
		rowLimit(limit), rowLimit(examine), optional(r.Destination), optional(r.AggregateType), optional(r.AggregateID))
	return out, err
}

func (s *Store) list(ctx context.Context, op string, into any, sql string, args ...any) error {
	var text string
	err := s.do(ctx, op, func(conn *pgxpool.Conn) error {
		return conn.QueryRow(ctx, sql, args...).Scan(&text)
	})
	if err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(text), into); err != nil {
		return fmt.Errorf("%s: parse answer: %w", op, err)
	}
	return nil
}
