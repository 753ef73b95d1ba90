package pgstore

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
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
}

// Lookup finds an event wherever it is, or returns [ErrNotFound]. A writer
// that uses an event id twice makes two events: then it returns the youngest.
func (s *Store) Lookup(ctx context.Context, eventID uuid.UUID) (Location, error) {
	var text string
	err := s.do(ctx, "lookup", func(conn *pgxpool.Conn) error {
		return conn.QueryRow(ctx, lookupSQL, eventID.String()).Scan(&text)
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return Location{}, fmt.Errorf("lookup: %w", ErrNotFound)
	}
	if err != nil {
		return Location{}, err
	}
	var l Location
	if err := json.Unmarshal([]byte(text), &l); err != nil {
		return Location{}, fmt.Errorf("lookup: parse answer: %w", err)
	}
	return l, nil
}
