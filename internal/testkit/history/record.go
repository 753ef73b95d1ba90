package history

import (
	"hash/fnv"
	"time"

	"github.com/google/uuid"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

// Event is an event and its row in the outbox, as a writer inserted it.
type Event struct {
	EventID uuid.UUID
	// Row is the id of the row. The events of a lane are ordered by it.
	Row  int64
	Lane outbox.Lane
	// Group is the group id that every send must carry. When it is empty, the group id is
	// not known, and it is only checked that each lane has one group id and each group id
	// of a destination one lane.
	Group string
	// Sum is the [Sum] of the payload, 0 when the body is not to be compared.
	Sum uint64
}

// Commit says between which two times a transaction became visible.
type Commit struct {
	// Began is when the writer asked for the commit. Zero is Done.
	Began time.Time
	// Done is when the answer came. Zero is the time of the call that records the commit.
	Done time.Time
}

// CauseKind is a kind of [Cause]. All but Replay are judged alike: each allows one resend of an event under an
// unchanged deduplication id.
type CauseKind string

const (
	// Crash: a relay ended, or froze, without settling what it had sent.
	Crash CauseKind = "crash"
	// UnknownOutcome: the answer to a send was lost, late or unusable.
	UnknownOutcome CauseKind = "unknown_outcome"
	// LeaseLost: a relay lost its lease before it could settle.
	LeaseLost CauseKind = "lease_lost"
	// SettleFailed: the database refused or lost a settlement.
	SettleFailed CauseKind = "settle_failed"
	// Replay: an operator asked for the events to be sent again, each under
	// the deduplication id of its next generation. It needs Events.
	Replay CauseKind = "replay"
)

// Cause is one reason for which events may be sent again.
type Cause struct {
	Kind CauseKind
	// At is when the cause happened. Zero is the time of the call that records it.
	At time.Time
	// Events limits the cause to these events. Empty means all, and is not allowed for Replay.
	Events []uuid.UUID
}

// Acceptance is a send that the broker accepted, whether it kept the message or
// suppressed it as a duplicate.
type Acceptance struct {
	EventID         uuid.UUID
	DeduplicationID string
	Destination     string
	Group           string
	// MessageID is the broker's id of the message. A row that is marked as sent must have
	// the id of one of its sends. Empty is unknown: the row is then not compared.
	MessageID string
	// SequenceNumber is the broker's decimal number; empty, or a text that is no number of
	// up to 128 bits, stands for none. When all first acceptances of a lane have one, it
	// decides their order; otherwise At and then the order of the calls do.
	SequenceNumber string
	// At is when the broker accepted the message. Zero is the time of the call that records it.
	At time.Time
	// Suppressed is whether the broker said that it knows the deduplication id and
	// delivers nothing.
	Suppressed bool
	// Sum is the [Sum] of the body, 0 when it is not to be compared.
	Sum uint64
}

// Receipt is a message that a consumer received.
type Receipt struct {
	Consumer    string
	Destination string
	EventID     uuid.UUID
	// Sum is the [Sum] of the body, 0 when it is not to be compared.
	Sum uint64
}

// State is the final state of an event's row.
type State int

const (
	// Absent: there is no row. It is the state of every event for which Final was not called.
	Absent State = iota
	// Pending: the row waits to be sent.
	Pending
	// Sent: the row is marked as sent, in the outbox or in the archive.
	Sent
	// Dead: the event is a dead letter.
	Dead
	// Blocked: the event waits behind a dead letter of its lane.
	Blocked
)

// String returns the word for the state.
func (s State) String() string {
	return [...]string{Absent: "absent", Pending: "pending", Sent: "sent", Dead: "dead", Blocked: "blocked"}[s]
}

// Final is the state of an event's row after writers and relays have ended.
type Final struct {
	EventID uuid.UUID
	State   State
	// MessageID is the id of the broker's message that a sent row is marked with. Empty is
	// not compared.
	MessageID string
	// Reason says why a row is dead or blocked, which must have one. Its text is not judged.
	Reason string
}

// Sum returns the checksum by which a body is compared with the payload as written. It
// is the same in every process.
func Sum(body []byte) uint64 {
	h := fnv.New64a()
	_, _ = h.Write(body)
	return h.Sum64()
}
