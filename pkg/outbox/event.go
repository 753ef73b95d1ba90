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
	// Type says what happened, such as "order.placed". Required.
	Type string
	// Destination is the name of a destination in the relay's configuration.
	// Defaults to [DefaultDestination].
	Destination string
	// Payload is the body, one JSON value. Its bytes are published as written.
	Payload json.RawMessage
	// Headers travel with the message in the attribute "headers", as a JSON
	// object. The keys traceparent and tracestate are filled from the context
	// when it carries a span.
	Headers map[string]string
}

// Record is an event as the outbox stores it.
type Record struct {
	Event
	// ID is the position of the event: events of one aggregate are published
	// in the order of ID. IDs have gaps and are not commit order across
	// transactions that did not wait for each other.
	ID int64
	// Shard is the shard of the aggregate, from 0 to Shards-1.
	Shard int
	// CreatedAt is the database's clock when the row was inserted. It says
	// nothing about order.
	CreatedAt time.Time
	// Replays is the number of times the event was redriven or replayed. Each time it is published under
	// another deduplication id.
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
