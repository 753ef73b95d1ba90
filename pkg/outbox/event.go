package outbox

import (
	"encoding/json"
	"time"

	"github.com/google/uuid"
)

// Shards is the number of shards that aggregates hash to. Relays share the
// work by shard. It is fixed in the schema: changing it on a live outbox would
// let two relays own one aggregate.
const Shards = 64

// DefaultDestination is the destination of an event that names none.
const DefaultDestination = "default"

// Event is something that happened to an aggregate, to be published to a
// destination. [Enqueue] writes it in the transaction that changed the
// aggregate.
type Event struct {
	// EventID identifies the event for ever. Consumers use it to drop duplicates, and the deduplication id of
	// every send begins with it. Enqueue assigns a UUIDv7 when it is zero.
	EventID uuid.UUID
	// AggregateType and AggregateID name what the event is about. Events of
	// one aggregate reach a destination in order. Both are required.
	AggregateType string
	AggregateID   string
	// Type says what happened, such as "order.placed". At most [MaxNameLength] characters. Required.
	Type string
	// Destination is the name of a destination in the relay's configuration.
	// Defaults to [DefaultDestination].
	Destination string
	// Payload is the body, one JSON value of at most [MaxPayloadBytes]. Its bytes are published as written.
	// Required.
	Payload json.RawMessage
	// Headers travel with the message in the attribute "headers", as a JSON object, except traceparent, which
	// has an attribute of its own. Enqueue fills traceparent and tracestate when its context carries a span and
	// neither is set. Nil is none.
	Headers map[string]string
}

// Record is an event as the outbox stores it.
type Record struct {
	Event
	// ID is the number of the row, from one sequence: events of one aggregate and destination are published in
	// the order of ID. IDs have gaps and are not commit order across transactions that did not wait for each
	// other.
	ID int64
	// Shard is the shard of the aggregate, from 0 to Shards-1.
	Shard int
	// CreatedAt is the database's clock when the row was inserted. It says nothing about the order of events.
	CreatedAt time.Time
	// Replays is the number of times the event was redriven or replayed. Each time it is published under
	// another deduplication id. 0 for an event that is published for the first time.
	Replays int
	// ReplayOf is the ID of the record that a replay copied, 0 when the record is no copy.
	ReplayOf int64
}

// Lane is one aggregate at one destination: events of a lane are published in
// order, and lanes do not wait for each other.
type Lane struct {
	Destination   string
	AggregateType string
	AggregateID   string
}

// Lane returns the lane of the event.
func (e *Event) Lane() Lane {
	return Lane{Destination: e.Destination, AggregateType: e.AggregateType, AggregateID: e.AggregateID}
}
