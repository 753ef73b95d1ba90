package pgadmin

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
)

const lookupSQL = "select rows::pg_catalog.text, redrives::pg_catalog.text from outbox.lookup($1::pg_catalog.uuid)"

// State is what has become of an event so far.
type State string

// The states of an event. An unsent event is Pending, or Blocked while its lane has a row in outbox.blocked, also for
// the time between a release and its end; a dead letter is Dead; a sent event is Sent while it is in outbox.events,
// and Archived when it is in outbox.archive. A dead letter that the retention deleted is Deleted: it was never sent.
const (
	Pending  State = "pending"
	Blocked  State = "blocked"
	Sent     State = "sent"
	Dead     State = "dead"
	Archived State = "archived"
	Deleted  State = "deleted"
)

// Location is one row of an event, in outbox.events, outbox.dead_letters, outbox.archive or outbox.deleted_dead_letters,
// and what is known about it.
// Fields that have no meaning in its state are zero.
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
	// Of an unsent event: Owner is the name of the relay that owns its shard, empty when none does. BlockedBy is
	// the event id of the dead letter that its lane waits or waited behind, nil when there is none, BlockReason
	// is why that dead letter was given up, and ReleasedAt when the lane was released, nil before that.
	Owner       string     `json:"owner,omitempty"`
	BlockedBy   *uuid.UUID `json:"blocked_by,omitempty"`
	BlockReason string     `json:"block_reason,omitempty"`
	ReleasedAt  *time.Time `json:"released_at,omitempty"`
	// Of a sent or archived event: when it was sent, and the broker's message id and sequence number.
	SentAt         *time.Time `json:"sent_at,omitempty"`
	MessageID      string     `json:"message_id,omitempty"`
	SequenceNumber string     `json:"sequence_number,omitempty"`
	// DuplicateOf is the id of an earlier row with the same message id, zero when there is none: a writer used one event id
	// twice, and the broker dropped this row's message as a duplicate.
	DuplicateOf int64 `json:"duplicate_of,omitempty"`
	// Of a dead letter: when and after how many attempts it was given up, and the broker's error code and text.
	DeadAt   *time.Time `json:"dead_at,omitempty"`
	Attempts int        `json:"attempts,omitempty"`
	Code     string     `json:"code,omitempty"`
	Reason   string     `json:"reason,omitempty"`
	// DeletedAt is when the retention deleted the dead letter, nil for an event in any other state than Deleted.
	DeletedAt *time.Time `json:"deleted_at,omitempty"`
	// ReplayOf is the id of the row that this row is a copy of, zero when no replay made it.
	ReplayOf int64 `json:"replay_of,omitempty"`
	// Others are the other rows with the same event id, such as copies made by replays, the highest id first.
	Others []Location `json:"others,omitempty"`
	// Redrives is the history of the event: each time that it was redriven or replayed, the oldest first.
	Redrives []Redriven `json:"redrives,omitempty"`
}

// Redriven is one entry in the history of an event: it was redriven or replayed.
type Redriven struct {
	RedrivenAt time.Time `json:"redriven_at"`
	// Source is what brought the event back: dead_letters, blocked or replay.
	Source string `json:"source"`
	// RequestID names the request of the redrive or replay: Lambda's id of the invocation, or from the command line
	// --request-id, by default outbox-cli and the user's name.
	RequestID string `json:"request_id"`
	// RowID is the id of the row that was redriven or copied. CopyID is the id of the copy, 0 unless it was replayed.
	RowID  int64 `json:"row_id"`
	CopyID int64 `json:"copy_id,omitempty"`
	// Generation is the number in the deduplication id under which the event was sent from then on.
	Generation  int    `json:"generation"`
	Destination string `json:"destination"`
	// Of a dead letter: after how many attempts it had been given up, and the broker's error code and text.
	Attempts int    `json:"attempts,omitempty"`
	Code     string `json:"code,omitempty"`
	Reason   string `json:"reason,omitempty"`
}

// Lookup finds an event in the tables that [Location] names, or returns [ErrNotFound], wrapped. An
// event that was replayed, or whose id a writer used twice, has several rows: Lookup returns the one with the highest
// id, with the others in Others.
func (s *Store) Lookup(ctx context.Context, eventID uuid.UUID) (Location, error) {
	var all []Location
	var redrives []Redriven
	if err := s.document(ctx, "lookup", lookupSQL, []any{eventID.String()}, &all, &redrives); err != nil {
		return Location{}, err
	}
	if len(all) == 0 {
		return Location{}, fmt.Errorf("lookup: %w", ErrNotFound)
	}
	for i := range all {
		for _, earlier := range all[i+1:] {
			if all[i].MessageID != "" && all[i].MessageID == earlier.MessageID && all[i].Destination == earlier.Destination {
				all[i].DuplicateOf = earlier.ID
			}
		}
	}
	l := all[0]
	l.Others, l.Redrives = all[1:], redrives
	return l, nil
}
