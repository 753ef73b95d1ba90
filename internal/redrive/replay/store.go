// Package replay sends events again that were sent already: those of an aggregate,
// of a type, of a range of ids or of time, or named by their ids. It knows
// contracts only, no PostgreSQL.
//
// A replay first searches for its events and lists them in a table. Then it writes
// a copy of each: a new row with a new id, the same event id, the next generation
// of its deduplication id and the id of the row that it copies, which the message
// carries as the attribute outbox-replay. The relay sends the copies like any
// event; the rows that were sent stay as they are.
//
// The copies of an aggregate are written in one transaction that holds the lock of
// the aggregate. Writers that take the lock as well ([outbox.Enqueuer] with
// LockAggregates) wait for it, so events that they write later are also sent
// later. Events of other writers may come between the copies.
//
// A transaction that copies events also takes them off the list, so a replay that
// is killed goes on under its id and copies nothing twice.
package replay

import (
	"context"
	"errors"

	"github.com/google/uuid"

	"github.com/serverless-outbox/serverless-outbox/internal/redrive"
)

// ErrNotFound is the error for an id that no replay has.
var ErrNotFound = errors.New("no such replay")

// Searcher finds the events of a replay. Each call is one transaction.
type Searcher interface {
	// CountReplay looks at limit rows of sent events with ids above after, in
	// their order, and counts those that pass the filters of r. next is the after
	// of the next call, 0 when no rows are left.
	CountReplay(ctx context.Context, r *redrive.Request, after int64, limit int) (found int, next int64, err error)
	// StartReplay begins a replay under the id, of the events that are sent by now
	// and pass the filters of r. It changes nothing when a replay has the id.
	StartReplay(ctx context.Context, id uuid.UUID, requestID string, r *redrive.Request) error
	// FindReplay looks at the next limit rows for the replay, lists those that
	// pass its filters, and returns how far the replay is then. Its error is
	// ErrNotFound, wrapped, when no replay has the id.
	FindReplay(ctx context.Context, id uuid.UUID, limit int) (Progress, error)
}

// Copier copies the events of a replay.
type Copier interface {
	// CopyReplay copies events of a replay whose search is over, all of one
	// aggregate, in one transaction: every event that the replay lists of the
	// aggregate, or none of them (Large) when they are more than limit. A replay
	// that interleaves copies those that come next on the list, up to the next
	// event of another aggregate, limit at most. Calls
	// for the same replay take turns.
	CopyReplay(ctx context.Context, id uuid.UUID, limit int) (Step, error)
}

// Store is what an [Engine] needs.
type Store interface {
	Searcher
	Copier
}

// Progress is how far a replay is.
type Progress struct {
	// Searched means that the search is over, and all events are listed.
	Searched bool
	// Through is the highest id that the search has looked at. The search ends at
	// the id Last.
	Through, Last int64
	// Found, Copied and Failed count events since the replay began, in all its
	// runs.
	Found, Copied, Failed int
}

// Step is what one call of CopyReplay did.
type Step struct {
	Outcome Outcome
	// Count is the number of events that Outcome is about.
	Count int
	// EventID is the first of these events, zero where the store does not say.
	EventID uuid.UUID
	// AggregateType and AggregateID are the aggregate of these events, empty where
	// the store does not say.
	AggregateType string
	AggregateID   string
}

// Outcome is what one call of CopyReplay did.
type Outcome string

// The outcomes.
const (
	// Copied: the copies of the events are written.
	Copied Outcome = "copied"
	// Gone: the event was listed, and removed from the database before it was
	// copied. It is off the list.
	Gone Outcome = "gone"
	// Large: the replay lists more events of the aggregate than one transaction
	// may copy. None was copied, and all are off the list.
	Large Outcome = "large"
	// Ended: the list is empty.
	Ended Outcome = "ended"
)
