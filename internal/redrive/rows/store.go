// Package rows redrives what the outbox itself put aside: events that the relay
// gave up, in outbox.dead_letters, and aggregates on hold behind one of them, in
// outbox.blocked. It knows contracts only, no PostgreSQL.
//
// A dead letter goes back under its old id, in the next generation of its
// deduplication id, and the relay that holds its shard reads the lane again from
// there on. Where the lane was on hold for it, order is kept: first the event
// that was dead, then what waited behind it. Where the lane had gone on, it
// comes after events that were written later, and only a confirmed request
// brings it back.
package rows

import (
	"context"

	"github.com/google/uuid"

	"github.com/serverless-outbox/serverless-outbox/internal/redrive"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

// Store is where dead letters and holds are. Each call is one transaction, and
// safe beside relays at work and beside other calls: an event is always either
// pending or dead.
type Store interface {
	// RedriveDeadLetters looks at the next b.Limit dead letters that match, in
	// the order of their ids, and puts back those that it may. It returns what
	// became of each, and nothing when there are no more.
	RedriveDeadLetters(ctx context.Context, b Batch) ([]Row, error)
	// ReleaseBlocked looks at the next b.Limit lanes on hold that match, in the
	// order of their first events. The dead event that a lane is on hold for
	// goes back first; a confirmed request leaves it dead and releases the lane
	// without it. It returns what became of each lane, and nothing when there
	// are no more. Lanes that begin with the same id come in one call.
	ReleaseBlocked(ctx context.Context, b Batch) ([]Row, error)
}

// Batch is what one call looks at.
type Batch struct {
	// Request has the filters, and DryRun, Confirm and Redirect.
	Request *redrive.Request
	// RequestID is noted with every event that is put back.
	RequestID string
	// After is the id to go on behind.
	After int64
	Limit int
}

// Row is what became of one dead letter or of one lane on hold.
type Row struct {
	// ID is the dead letter's, or where the lane begins. Ids ascend.
	ID      int64
	EventID uuid.UUID
	Lane    outbox.Lane
	Outcome Outcome
	// Ordered says that putting the event back keeps the order of its lane.
	Ordered bool
}

// Outcome is what became of a dead letter or of a lane.
type Outcome string

// The outcomes.
const (
	// Redriven: it is pending again, and its lane is off hold. In a dry run it
	// would be.
	Redriven Outcome = "redriven"
	// Released: the lane is off hold, without its dead event.
	Released Outcome = "released"
	// Unconfirmed: it would break the order, which the request does not confirm.
	Unconfirmed Outcome = "unconfirmed"
	// Behind: an earlier one of its lane that was asked for is still dead.
	Behind Outcome = "behind"
	// Archiving: the partition of its id is about to be archived and takes no
	// unsent rows. Trying again helps.
	Archiving Outcome = "archiving"
	// Refused: as it is, the row breaks a rule of outbox.events.
	Refused Outcome = "refused"
	// Gone: somebody else put it back or removed it meanwhile.
	Gone Outcome = "gone"
)
