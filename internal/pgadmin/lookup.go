package pgadmin

import (
	"context"
	_ "embed"
	"fmt"
	"time"

	"github.com/google/uuid"
)

//go:embed sql/lookup.sql
var lookupSQL string

// State says where an event is.
type State string

// The states of an event. An unsent event is Pending, or Blocked while its lane
// waits behind a dead letter.
const (
	Pending  State = "pending"
	Blocked  State = "blocked"
	Sent     State = "sent"
	Dead     State = "dead"
	Archived State = "archived"
)

// Location is what the tables say about one row of an event. Fields that do not
// apply to its state are zero.
type Location struct {
	State         State     `json:"state"`
	ID            int64     `json:"id"`
	EventID       uuid.UUID `json:"event_id"`
	Destination   string    `json:"destination"`
	AggregateType string    `json:"aggregate_type"`
	AggregateID   string    `json:"aggregate_id"`
	EventType     string    `json:"event_type"`
	Shard         int       `json:"shard"`
	Replays       int       `json:"replays"`
	CreatedAt     time.Time `json:"created_at"`
	// Of an unsent event: Owner is the name of the relay that owns its shard,
	// BlockedBy the dead letter that its lane waits behind, BlockReason what that
	// one was refused for, and ReleasedAt when the lane was released.
	Owner       string     `json:"owner,omitempty"`
	BlockedBy   *uuid.UUID `json:"blocked_by,omitempty"`
	BlockReason string     `json:"block_reason,omitempty"`
	ReleasedAt  *time.Time `json:"released_at,omitempty"`
	// Of an event that was sent or archived.
	SentAt         *time.Time `json:"sent_at,omitempty"`
	MessageID      string     `json:"message_id,omitempty"`
	SequenceNumber string     `json:"sequence_number,omitempty"`
	// Of a dead letter.
	DeadAt   *time.Time `json:"dead_at,omitempty"`
	Attempts int        `json:"attempts,omitempty"`
	Code     string     `json:"code,omitempty"`
	Reason   string     `json:"reason,omitempty"`
	// ReplayOf is the id of the row that this one copies, for a replay.
	ReplayOf int64 `json:"replay_of,omitempty"`
	// Others are the other rows with the same event id, the youngest first: rows
	// that a replay copied, and other copies.
	Others []Location `json:"others,omitempty"`
	// Redrives are the times that the event was redriven or replayed, the oldest
	// first.
	Redrives []Redriven `json:"redrives,omitempty"`
}

// Redriven says how an event was redriven or replayed once.
type Redriven struct {
	RedrivenAt time.Time `json:"redriven_at"`
	// Source is dead_letters, blocked or replay.
	Source string `json:"source"`
	// RequestID is that of the request, such as the name of a person.
	RequestID string `json:"request_id"`
	// RowID is the id of the row, CopyID that of the copy that a replay made.
	RowID  int64 `json:"row_id"`
	CopyID int64 `json:"copy_id,omitempty"`
	// Generation is the generation of the deduplication id from then on.
	Generation  int    `json:"generation"`
	Destination string `json:"destination"`
	// Of a dead letter: what it was buried with.
	Attempts int    `json:"attempts,omitempty"`
	Code     string `json:"code,omitempty"`
	Reason   string `json:"reason,omitempty"`
}

// Lookup finds an event in whatever table it is, or returns [ErrNotFound]. An
// event that was replayed, or whose id a writer used twice, has several rows:
// then Lookup returns the youngest, with the others in Others.
func (s *Store) Lookup(ctx context.Context, eventID uuid.UUID) (Location, error) {
	var all []Location
	var redrives []Redriven
	if err := s.document(ctx, "lookup", lookupSQL, []any{eventID.String()}, &all, &redrives); err != nil {
		return Location{}, err
	}
	if len(all) == 0 {
		return Location{}, fmt.Errorf("lookup: %w", ErrNotFound)
	}
	l := all[0]
	l.Others, l.Redrives = all[1:], redrives
	return l, nil
}
