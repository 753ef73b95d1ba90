package pgadmin

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/serverless-outbox/serverless-outbox/internal/pgdb"
)

const statusSQL = "select outbox.read_status($1::integer)::pg_catalog.text"

// Status is the state of an outbox, as an operator reads it.
type Status struct {
	// Destinations are the destinations of the unsent events, all of them, in the order of their names. Only the first
	// PendingLimit unsent events of each are counted.
	Destinations []DestinationStatus `json:"destinations"`
	// Pending is the number of unsent events, those of blocked lanes included, at most PendingLimit.
	Pending      int `json:"pending"`
	PendingLimit int `json:"pending_limit"`
	// Relays are the relays that have a row in outbox.relays, the one that started last first.
	Relays []RelayStatus `json:"relays"`
	// Shards are all shards, in the order of their numbers.
	Shards []ShardStatus `json:"shards"`
	// DeadLetters is the number of dead letters, and Blocked the number of blocked lanes that were not released.
	DeadLetters int `json:"dead_letters"`
	Blocked     int `json:"blocked"`
	// Now is the time by the database's clock.
	Now time.Time `json:"now"`
	// SchemaVersion is the number of the newest migration that was applied.
	SchemaVersion int64 `json:"schema_version"`
}

// DestinationStatus is the number of unsent events of one destination, and when the oldest of them was written.
type DestinationStatus struct {
	Destination string    `json:"destination"`
	Pending     int       `json:"pending"`
	Oldest      time.Time `json:"oldest"`
	// Unknown says that no relay that runs is configured for the destination: nothing sends its events. Where none
	// runs, those that ran last count.
	Unknown bool `json:"unknown"`
}

// RelayStatus is a row of outbox.relays: a relay that has a lease, or whose lease lapsed and was not taken over yet.
// Low is the id up to which its events are settled, gaps and blocked lanes aside; Shards is how many shards it owns.
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

// ShardStatus is a shard and the relay that owns it. Epoch is how often the shard was given an owner, and AcquiredAt
// when that was last, nil when it never was.
type ShardStatus struct {
	Shard int `json:"shard"`
	// Owner is the id of the relay that owns the shard, nil when none does.
	Owner      *uuid.UUID `json:"owner"`
	Epoch      int64      `json:"epoch"`
	AcquiredAt *time.Time `json:"acquired_at"`
}

// Status reads the state of the outbox. It counts at most limit unsent events, Status.PendingLimit of the result, so
// that its cost is bounded.
func (s *Store) Status(ctx context.Context, limit int) (Status, error) {
	var st Status
	if err := s.document(ctx, "status", statusSQL, []any{pgdb.Limit(limit)}, &st); err != nil {
		return Status{}, err
	}
	st.PendingLimit = limit
	return st, nil
}
