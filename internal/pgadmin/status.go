package pgadmin

import (
	"context"
	_ "embed"
	"time"

	"github.com/google/uuid"
)

//go:embed sql/status.sql
var statusSQL string

// Status is the state of an outbox for an operator to read.
type Status struct {
	// Destinations lists the destinations of the first PendingLimit unsent events.
	Destinations []DestinationStatus `json:"destinations"`
	// Pending is the number of unsent events, those of blocked lanes included. It
	// stops at PendingLimit.
	Pending      int `json:"pending"`
	PendingLimit int `json:"pending_limit"`
	// Relays are those that have a row in outbox.relays, the youngest first.
	Relays []RelayStatus `json:"relays"`
	// Shards are all shards, in the order of their numbers.
	Shards []ShardStatus `json:"shards"`
	// DeadLetters and Blocked count events and lanes.
	DeadLetters int `json:"dead_letters"`
	Blocked     int `json:"blocked"`
	// Now is the database's clock.
	Now time.Time `json:"now"`
	// SchemaVersion is the newest migration that was applied.
	// [github.com/serverless-outbox/serverless-outbox/pkg/outbox/pgstore.Version]
	// is what this program needs.
	SchemaVersion int64 `json:"schema_version"`
}

// DestinationStatus counts the unsent events of one destination. Oldest is when
// the oldest of them was written.
type DestinationStatus struct {
	Destination string    `json:"destination"`
	Pending     int       `json:"pending"`
	Oldest      time.Time `json:"oldest"`
}

// RelayStatus is a relay that has a lease, or whose lease lapsed and was not taken
// over yet. Low is the id up to which it has read, Shards how many it owns.
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

// ShardStatus is a shard and its owner.
type ShardStatus struct {
	Shard int `json:"shard"`
	// Owner is the id of the relay that owns the shard, nil when none does.
	Owner      *uuid.UUID `json:"owner"`
	Epoch      int64      `json:"epoch"`
	AcquiredAt *time.Time `json:"acquired_at"`
}

// Status reads the state of the outbox. It counts at most limit pending
// events, so that its cost is bounded.
func (s *Store) Status(ctx context.Context, limit int) (Status, error) {
	var st Status
	if err := s.document(ctx, "status", statusSQL, []any{rowLimit(limit)}, &st); err != nil {
		return Status{}, err
	}
	st.PendingLimit = limit
	return st, nil
}
