package pgstore

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
)

var (
	//go:embed sql/status.sql
	statusSQL string
	//go:embed sql/lookup.sql
	lookupSQL string
)

// Status is the state of an outbox for an operator to read.
type Status struct {
	// Destinations lists where events wait, of the first PendingLimit.
	Destinations []DestinationStatus `json:"destinations"`
	// Pending is the number of unsent events, those on hold included. It stops
	// at PendingLimit.
	Pending      int `json:"pending"`
	PendingLimit int `json:"pending_limit"`
	// Relays are those whose rows are there, the youngest first.
	Relays []RelayStatus `json:"relays"`
	// Shards are all of them, in order.
	Shards []ShardStatus `json:"shards"`
	// DeadLetters and Blocked count events and lanes.
	DeadLetters int `json:"dead_letters"`
	Blocked     int `json:"blocked"`
	// Now is the database's clock.
	Now time.Time `json:"now"`
	// SchemaVersion is the newest migration that was applied. [Version] is
	// what this package needs.
	SchemaVersion int64 `json:"schema_version"`
}

// DestinationStatus is what waits for one destination.
type DestinationStatus struct {
	Destination string    `json:"destination"`
	Pending     int       `json:"pending"`
	Oldest      time.Time `json:"oldest"`
}

// RelayStatus is a relay that holds a lease, or whose lease lapsed and was not
// taken over yet.
type RelayStatus struct {
	RelayID    uuid.UUID `json:"relay_id"`
	Name       string    `json:"name"`
	StartedAt  time.Time `json:"started_at"`
	RunUntil   time.Time `json:"run_until"`
	LeaseUntil time.Time `json:"lease_until"`
	Leaving    bool      `json:"leaving"`
	Low        int64     `json:"low"`
	Shards     int       `json:"shards"`
}

// ShardStatus is a shard and who holds it.
type ShardStatus struct {
	Shard int `json:"shard"`
	// Owner is nil when nobody holds the shard.
	Owner      *uuid.UUID `json:"owner"`
	Epoch      int64      `json:"epoch"`
	AcquiredAt *time.Time `json:"acquired_at"`
}

// Status reads the state of the outbox. It counts at most limit pending
// events, so that its cost is bounded.
func (s *Store) Status(ctx context.Context, limit int) (Status, error) {
	var text string
	err := s.do(ctx, "status", func(conn *pgxpool.Conn) error {
		return conn.QueryRow(ctx, statusSQL, rowLimit(limit)).Scan(&text)
	})
	if err != nil {
		return Status{}, err
	}
	var st Status
	if err := json.Unmarshal([]byte(text), &st); err != nil {
		return Status{}, fmt.Errorf("status: parse answer: %w", err)
	}
	st.PendingLimit = limit
	return st, nil
}

// State says where an event is.
type State string

// The states of an event. An event that waits is Pending, or Blocked while its
// lane is on hold.
const (
	Pending  State = "pending"
	Blocked  State = "blocked"
	Sent     State = "sent"
	Dead     State = "dead"
	Archived State = "archived"
)

// Location is what there is to know about one event. Fields that do not apply
// to its state are zero.
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
	// Of an event that waits: the name of the relay that holds its shard, and
	// which dead event its lane is on hold behind, and why.
	Holder      string     `json:"holder,omitempty"`
	BlockedBy   *uuid.UUID `json:"blocked_by,omitempty"`
	BlockReason string     `json:"block_reason,omitempty"`
	ReleasedAt  *time.Time `json:"released_at,omitempty"`
	// Of an event that was sent or archived.
	SentAt         *time.Time `json:"sent_at,omitempty"`
	MessageID      string     `json:"message_id,omitempty"`
	SequenceNumber string     `json:"sequence_number,omitempty"`
	// Of a dead one.
	DeadAt   *time.Time `json:"dead_at,omitempty"`
	Attempts int        `json:"attempts,omitempty"`
	Code     string     `json:"code,omitempty"`
	Reason   string     `json:"reason,omitempty"`
	// ReplayOf is the id of the row that this one copies, for a replay.
	ReplayOf int64 `json:"replay_of,omitempty"`
	// Others are the other rows of the event, the youngest first: those that a
	// replay copied, and other copies.
	Others []Location `json:"others,omitempty"`
	// Redrives is what was redriven and replayed, the oldest first.
	Redrives []Redriven `json:"redrives,omitempty"`
}

// Redriven is one time that an event was redriven or replayed.
type Redriven struct {
	RedrivenAt time.Time `json:"redriven_at"`
	// Source is dead_letters, blocked or replay.
	Source string `json:"source"`
	// RequestID says who or what asked for it.
	RequestID string `json:"request_id"`
	// RowID is the row, CopyID the one that a replay made of it.
	RowID  int64 `json:"row_id"`
	CopyID int64 `json:"copy_id,omitempty"`
	// Generation is that of the deduplication id from then on.
	Generation  int    `json:"generation"`
	Destination string `json:"destination"`
	// Of a dead letter: what it had died with.
	Attempts int    `json:"attempts,omitempty"`
	Code     string `json:"code,omitempty"`
	Reason   string `json:"reason,omitempty"`
}

// Lookup finds an event wherever it is, or returns [ErrNotFound]. Of an event
// that was replayed, or of an event id that a writer used twice, there are
// several rows: then it returns the youngest, with the others.
func (s *Store) Lookup(ctx context.Context, eventID uuid.UUID) (Location, error) {
	var found, redriven string
	err := s.do(ctx, "lookup", func(conn *pgxpool.Conn) error {
		return conn.QueryRow(ctx, lookupSQL, eventID.String()).Scan(&found, &redriven)
	})
	if err != nil {
		return Location{}, err
	}
	var all []Location
	if err := json.Unmarshal([]byte(found), &all); err != nil {
		return Location{}, fmt.Errorf("lookup: parse answer: %w", err)
	}
	if len(all) == 0 {
		return Location{}, fmt.Errorf("lookup: %w", ErrNotFound)
	}
	l := all[0]
	l.Others = all[1:]
	if err := json.Unmarshal([]byte(redriven), &l.Redrives); err != nil {
		return Location{}, fmt.Errorf("lookup: parse answer: %w", err)
	}
	return l, nil
}
