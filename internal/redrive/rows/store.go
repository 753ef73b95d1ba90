// Package rows brings back dead letters, which are in the table outbox.dead_letters, and aggregates that are blocked
// behind a dead letter, which are in outbox.blocked. It reaches the tables through the interface [Store].
//
// A dead letter goes back to outbox.events under its old id, with a new deduplication id, and the relay that owns its
// shard reads the lane again from that id on. Where the lane was blocked behind the dead letter, order is kept: the
// dead letter is sent first, then the events behind it. Where the lane had gone on, the dead letter is sent after
// events that were written later, so only a request with Confirm brings it back.
package rows

import (
	"context"

	"github.com/google/uuid"

	"github.com/serverless-outbox/serverless-outbox/internal/redrive"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

// Store is the tables of dead letters and blocked lanes. Each call is one transaction. Calls may run at the same time
// as relays and other calls: at any moment an event is either pending or a dead letter, never both or neither.
type Store interface {
	// RedriveDeadLetters looks at the next b.Limit dead letters that pass the filters, in the order of their ids, and
	// puts those back into outbox.events that the request allows. It returns what became of each, and no rows when
	// none is left to look at.
	RedriveDeadLetters(ctx context.Context, b Batch) ([]Row, error)
	// ReleaseBlocked looks at the next b.Limit blocked lanes that pass the filters, in the order of Row.ID, and
	// releases them, unless it is a dry run. The dead letter that a lane is blocked behind is put back first; a lane whose
	// dead letter is gone stays blocked. With Confirm a dead letter stays one, and the lane goes on without it. It returns what became of each lane, and no
	// rows when none is left to look at. Lanes with an equal Row.ID are in one answer, even above b.Limit.
	ReleaseBlocked(ctx context.Context, b Batch) ([]Row, error)
}

// Batch is the input of one call of a [Store].
type Batch struct {
	// Request is the request. The store reads its filters, DryRun, Confirm and Redirect.
	Request *redrive.Request
	// RequestID is stored in the history of every event that is put back.
	RequestID string
	// After is the ID of the last row of the call before, in the first call of a run that of the request's token, 0
	// without one: the call looks at higher ones.
	After int64
	// Limit is the most dead letters or lanes to look at in the call.
	Limit int
}

// Row is what became of one dead letter or of one blocked lane.
type Row struct {
	// ID is the id of the dead letter, or of the first event of the blocked lane. The rows of a call are in its order.
	ID      int64
	EventID uuid.UUID
	Lane    outbox.Lane
	Outcome Outcome
	// Ordered is true when putting the event back keeps the order of its lane and sends it to its own destination.
	Ordered bool
}

// Outcome is what became of a dead letter or of a blocked lane.
type Outcome string

// The outcomes.
const (
	// Redriven: the event is pending again, and does not block its lane any more. In a dry run it would be so.
	Redriven Outcome = "redriven"
	// Released: the lane goes on, by Confirm, without the event that it was blocked behind. In a dry run it would go on.
	Released Outcome = "released"
	// Unconfirmed: the request has no Confirm, and the event stays a dead letter because it is not Ordered, or the lane
	// stays blocked because the event that it is blocked behind is no dead letter any more.
	Unconfirmed Outcome = "unconfirmed"
	// Behind: the event stays a dead letter, because an earlier dead letter of the lane that passes the filters could
	// not be put back.
	Behind Outcome = "behind"
	// Archiving: the event stays a dead letter, because the partition of its id is about to be archived and accepts no
	// unsent rows. The same request succeeds some seconds later.
	Archiving Outcome = "archiving"
	// Refused: the event stays a dead letter, because its row breaks a constraint of outbox.events.
	Refused Outcome = "refused"
	// Gone: another transaction put the event back, removed it or released the lane at the same time.
	Gone Outcome = "gone"
)
