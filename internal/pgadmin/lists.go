package pgadmin

import (
	"context"
	"encoding/json"
	"time"

	"github.com/google/uuid"

	"github.com/serverless-outbox/serverless-outbox/internal/pgdb"
	"github.com/serverless-outbox/serverless-outbox/internal/redrive"
)

const (
	listDeadLettersSQL = `
		select outbox.list_dead_letters(
			$1::bigint, $2::integer, $3::boolean,
			$4::pg_catalog.text[]::pg_catalog.uuid[], $5::pg_catalog.text, $6::pg_catalog.text, $7::pg_catalog.text, $8::pg_catalog.text,
			$9::timestamp with time zone, $10::timestamp with time zone, $11::bigint, $12::bigint)::pg_catalog.text`
	listBlockedSQL = "select outbox.list_blocked($1::integer, $2::integer, $3::pg_catalog.text, $4::pg_catalog.text, $5::pg_catalog.text)::pg_catalog.text"
)

// DeadLetter is a row of outbox.dead_letters: an event that the relay gave up, and why.
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
	// Blocks is true when the lane of the event has a row in outbox.blocked that names this event.
	Blocks bool `json:"blocks"`
	// Payload is the text of the payload as it was written, and Headers a JSON object. Both are empty where the caller
	// of DeadLetters did not ask for the content.
	Payload string          `json:"payload,omitempty"`
	Headers json.RawMessage `json:"headers,omitempty"`
}

// DeadLetters lists the dead letters with ids above after (0 for all) that pass the filters of r, at most limit, in the
// order of their ids. Only with content do they have Payload and Headers.
func (s *Store) DeadLetters(ctx context.Context, r *redrive.Request, after int64, limit int, content bool) ([]DeadLetter, error) {
	var out []DeadLetter
	err := s.document(ctx, "list dead letters", listDeadLettersSQL, append([]any{after, pgdb.Limit(limit), content}, filters(r)...), &out)
	for i := range out {
		if string(out[i].Headers) == "null" {
			out[i].Headers = nil
		}
	}
	return out, err
}

// BlockedLane is a row of outbox.blocked: a lane that waits behind a dead letter, or was released after it did.
type BlockedLane struct {
	// FirstID is the id of the first event that waits, or waited, in the lane.
	FirstID int64 `json:"first_id"`
	// EventID is the event id of the dead letter that the lane waits behind. DeadLetter is false when that event
	// is not a dead letter of this lane any more.
	EventID       uuid.UUID  `json:"event_id"`
	DeadLetter    bool       `json:"dead_letter"`
	Destination   string     `json:"destination"`
	AggregateType string     `json:"aggregate_type"`
	AggregateID   string     `json:"aggregate_id"`
	BlockedAt     time.Time  `json:"blocked_at"`
	ReleasedAt    *time.Time `json:"released_at,omitempty"`
	Reason        string     `json:"reason"`
	// Waiting is how many of the unsent events that BlockedLanes looked at are of this lane.
	Waiting int `json:"waiting"`
}

// BlockedLanes lists rows of outbox.blocked, at most limit, in the order of FirstID: those of the destination, the
// aggregate type and the aggregate id of r, where these are set, also of lanes that were released and that no relay has
// resumed yet. Other filters of r are ignored. Waiting counts among the first examine unsent events of its destination
// only, so that the cost is bounded.
func (s *Store) BlockedLanes(ctx context.Context, r *redrive.Request, limit, examine int) ([]BlockedLane, error) {
	var out []BlockedLane
	args := []any{pgdb.Limit(limit), pgdb.Limit(examine), optional(r.Destination), optional(r.AggregateType), optional(r.AggregateID)}
	err := s.document(ctx, "list blocked", listBlockedSQL, args, &out)
	return out, err
}
