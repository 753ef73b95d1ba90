package pgadmin

import (
	"context"
	_ "embed"
	"encoding/json"
	"time"

	"github.com/google/uuid"

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
	// Blocks says that the event's lane is blocked behind it.
	Blocks bool `json:"blocks"`
	// Payload is the text as it was written, and Headers a JSON object. Both are
	// empty unless the content was asked for.
	Payload string          `json:"payload,omitempty"`
	Headers json.RawMessage `json:"headers,omitempty"`
}

// DeadLetters lists the dead letters with ids above after that pass the filters
// of r, at most limit, in the order of their ids. With content they have payload
// and headers.
func (s *Store) DeadLetters(ctx context.Context, r *redrive.Request, after int64, limit int, content bool) ([]DeadLetter, error) {
	var out []DeadLetter
	err := s.document(ctx, "list dead letters", listDeadLettersSQL, append([]any{after, rowLimit(limit), content}, filters(r)...), &out)
	return out, err
}

// BlockedLane is a lane that waits behind a dead letter.
type BlockedLane struct {
	// FirstID is the id at which the lane begins.
	FirstID int64 `json:"first_id"`
	// EventID is the event that the lane waits behind, and DeadLetter says that
	// this event is still a dead letter.
	EventID       uuid.UUID  `json:"event_id"`
	DeadLetter    bool       `json:"dead_letter"`
	Destination   string     `json:"destination"`
	AggregateType string     `json:"aggregate_type"`
	AggregateID   string     `json:"aggregate_id"`
	BlockedAt     time.Time  `json:"blocked_at"`
	ReleasedAt    *time.Time `json:"released_at,omitempty"`
	Reason        string     `json:"reason"`
	// Waiting is the number of the lane's unsent events.
	Waiting int `json:"waiting"`
}

// BlockedLanes lists blocked lanes, at most limit, of a destination and an
// aggregate where r names them. Waiting events are counted among the first
// examine unsent events, so that the cost is bounded.
func (s *Store) BlockedLanes(ctx context.Context, r *redrive.Request, limit, examine int) ([]BlockedLane, error) {
	var out []BlockedLane
	args := []any{rowLimit(limit), rowLimit(examine), optional(r.Destination), optional(r.AggregateType), optional(r.AggregateID)}
	err := s.document(ctx, "list blocked", listBlockedSQL, args, &out)
	return out, err
}
