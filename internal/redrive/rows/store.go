// Package rows brings back what the tables of the outbox hold: dead letters, in
// outbox.dead_letters, and aggregates that are blocked behind one, in
// outbox.blocked. It knows contracts only, no PostgreSQL.
//
// A dead letter goes back to outbox.events under its old id, in the next
// generation of its deduplication id, and the relay that owns its shard reads the
// lane again from there on. Where the lane was blocked behind it, order is kept:
// first the dead letter, then the events behind it. Where the lane had gone on,
// the event comes after events that were written later, and only a request with
// Confirm brings it back.
package rows

import (
	"context"

	"github.com/google/uuid"

	"github.com/serverless-outbox/serverless-outbox/internal/redrive"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

// Store has the dead letters and the blocked lanes. Each call is one transaction.
// It may run beside relays and beside other calls: at any moment an event is
// either pending or a dead letter, never both or none.
type Store interface {
	// RedriveDeadLetters looks at the next b.Limit dead letters that pass the
	// filters, in the order of their ids, and puts those back that it may. It
	// returns what became of each, and no rows when there are no more.
	RedriveDeadLetters(ctx context.Context, b Batch) ([]Row, error)
	// ReleaseBlocked looks at the next b.Limit blocked lanes that pass the
	// filters, in the order of their first events, and releases them. The dead
	// letter that a lane is blocked behind goes back first. With Confirm it stays
	// a dead letter, and the lane goes on without it. It returns what became of
	// each lane, and no rows when there are no more. Lanes that begin with the
	// same id come in one call.
	ReleaseBlocked(ctx context.Context, b Batch) ([]Row, error)
}

// Batch says what one call of a [Store] looks at.
type Batch struct {
	// Request has the filters, and DryRun, Confirm and Redirect.
	Request *redrive.Request
	// RequestID is written to the history of every event that is put back.
	RequestID string
	// After is an id: the call looks at rows with higher ones.
	After int64
	// Limit is the most rows to look at.
	Limit int
}

// Row is what became of one dead letter or of one blocked lane.
type Row struct {
	// ID is the id of the dead letter, or of the lane's first event. The rows of
	// a call are in the order of their ids.
	ID      int64
	EventID uuid.UUID
	Lane    outbox.Lane
	Outcome Outcome
	// Ordered means that putting the event back keeps the order of its lane.
	Ordered bool
}

// Outcome is what became of a dead letter or of a blocked lane.
type Outcome string

// The outcomes.
const (
	// Redriven: the event is pending again, and its lane is not blocked behind it
	// any more. In a dry run it would be.
	Redriven Outcome = "redriven"
	// Released: the lane goes on without the dead letter that it was blocked
	// behind. In a dry run it would.
	Released Outcome = "released"
	// Unconfirmed: putting the event back breaks the order of its lane, and the
	// request has no Confirm.
	Unconfirmed Outcome = "unconfirmed"
	// Behind: an earlier dead letter of the lane that passes the filters could not
	// be put back, so this one was not.
	Behind Outcome = "behind"
	// Archiving: the partition of the event's id is about to be archived and takes
	// no unsent rows. The same request succeeds some seconds later.
	Archiving Outcome = "archiving"
	// Refused: the row as it is breaks a constraint of outbox.events.
	Refused Outcome = "refused"
	// Gone: another transaction put the event back, or removed it, at the same
	// time.
	Gone Outcome = "gone"
)
