package outbox

import (
	"encoding/json"
	"time"

	"github.com/google/uuid"
)

// Shards is the number of shards that aggregates hash to. Relays share the work by shard. The number is fixed in the
// schema: changing it on a live outbox would let two relays own one aggregate.
const Shards = 64

// DefaultDestination is the destination of an event that names none.
const DefaultDestination = "default"

// Event is something that happened to an aggregate, to be published to a destination. [Enqueue] writes it in the
// transaction that changed the aggregate.
type Event struct {
	// EventID identifies the event for ever. Consumers use it to drop duplicates, and the deduplication id of every
	// send begins with it. Enqueue assigns a UUIDv7 when it is zero.
	EventID uuid.UUID
	// AggregateType and AggregateID name what the event is about. Events of one aggregate reach a destination in order.
	// They have at most [MaxNameLength] and [MaxAggregateIDLength] characters. Both are required.
	AggregateType string
	AggregateID   string
	// Type says what happened, such as "order.placed". At most [MaxNameLength] characters. Required.
	Type string
	// Destination is the name of a destination in the relay's configuration. Defaults to [DefaultDestination].
	Destination string
	// Payload is the body, one JSON value of at most [MaxPayloadBytes]. Its bytes are published as written. Required.
	Payload json.RawMessage
	// Headers are sent with the message: traceparent, and what the destination chooses, as attributes of their own, all
	// others percent-encoded in the attribute "headers": see [Encoder]. Keys and values may be any text in UTF-8, of at
	// most [MaxHeaderBytes] together. Enqueue adds traceparent and tracestate when its context carries a span and
	// neither is set. Nil is none.
	Headers map[string]string
}

// Record is an event as the outbox stores it.
type Record struct {
	Event
	// ID is the number of the row, from one sequence for all events: those of one aggregate and destination are
	// published in the order of ID. Some numbers are never used. Of two transactions that did not wait for each
	// other, the one with the lower IDs may commit later.
	ID int64
	// Era is the era of the row ids in which the row was read: an ID names one event within an era, and eras grow. It is
	// 0 for a record that no relay has read.
	Era int64
	// Shard is the shard of the aggregate, from 0 to Shards-1.
	Shard int
	// CreatedAt is when the row was inserted, by the database's clock; a redriven dead letter keeps that time. It says
	// nothing about the order of events.
	CreatedAt time.Time
	// Replays is how often the event has been redriven or replayed, 0 for an event that was only written. The
	// deduplication id has this number, so that a broker does not take a redriven or replayed event for a duplicate.
	Replays int
	// ReplayOf is the ID of the record that a replay copied, 0 when the record is no copy.
	ReplayOf int64
}

// EraSpan is what the sequence of an event grows by with each era. Ids stay below it for 31 years at 1,000 events a second.
const EraSpan = 1_000_000_000_000

// Sequence returns the place of the record among those of its aggregate, for consumers: it grows with ID, and with Era
// also where ids come again. It is Era times 10^12 plus ID.
func (r *Record) Sequence() int64 { return r.Era*EraSpan + r.ID }

// Lane is one aggregate at one destination: events of a lane are published in order, and lanes do not wait for each
// other.
type Lane struct {
	Destination   string
	AggregateType string
	AggregateID   string
}

// Lane returns the lane of the event. Its Destination is empty where that of e is.
func (e *Event) Lane() Lane {
	return Lane{Destination: e.Destination, AggregateType: e.AggregateType, AggregateID: e.AggregateID}
}
