// Package replay sends events again that were sent already: those of an aggregate, of a type, of a range of ids or of
// time, or named by their ids. It reaches the outbox through the interface [Store].
//
// A replay first searches for its events and stores their ids in a table, the list of the replay. Then it writes a copy
// of each: a new row with a new id, the same event id, a new deduplication id, and the id of the row that it copies,
// which the message has as the attribute outbox-replay. The relay sends the copies like any event. The rows that were
// copied do not change.
//
// The copies of an aggregate are written in one transaction that locks the aggregate. Writers that lock aggregates too
// ([outbox.Enqueuer] with LockAggregates) wait for it, so what they write afterwards is sent afterwards. Events of
// other writers may come between the copies.
//
// A transaction that copies events also takes them off the list. So after a kill, a run with the id of the replay, its
// token, goes on and copies nothing twice.
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
	// CountReplay looks at the next limit rows with ids above after, in their order, and returns how many were sent,
	// are no copies of a replay, and pass the filters of r. next is the argument after of the next call, 0 when no rows
	// are left. With EventIDs in r it looks at all of these at once.
	CountReplay(ctx context.Context, r *redrive.Request, after int64, limit int) (found int, next int64, err error)
	// StartReplay begins a replay with that id, of the events that have been sent by now and pass the filters of r, but
	// not of the copies of earlier replays. The replay keeps the filters, Redirect and Interleave of r. requestID is
	// stored in the history of each replayed event. It changes nothing when there is a replay with that id.
	StartReplay(ctx context.Context, id uuid.UUID, requestID string, r *redrive.Request) error
	// FindReplay looks at the next limit rows, puts on the list of the replay those that it is to copy, and returns its
	// progress. Its error is ErrNotFound, wrapped, when no replay has the id.
	FindReplay(ctx context.Context, id uuid.UUID, limit int) (Progress, error)
}

// Copier copies the events of a replay.
type Copier interface {
	// CopyReplay copies, in one transaction, the listed events of the aggregate whose event is next on the list,
	// or none of them (Large) when they are more than limit. A replay that interleaves copies from the front of
	// the list up to the next event of another aggregate, limit events at most. A search that is not over is an
	// error, and no replay with that id is ErrNotFound, wrapped. Concurrent calls for one replay wait for each
	// other.
	CopyReplay(ctx context.Context, id uuid.UUID, limit int) (Step, error)
}

// Store is what an [Engine] needs of the outbox: the search and the copying.
type Store interface {
	Searcher
	Copier
}

// Progress is how far a replay has come. A dry run sets Through and Found only.
type Progress struct {
	// Searched is true when the search is over, and all events of the replay are on its list.
	Searched bool
	// Through is the highest id that the search has looked at, and Last the id at which it ends.
	Through, Last int64
	// Found, Copied and Failed count the events of the replay in all its runs: those put on the list, those copied, and
	// those taken off the list without a copy.
	Found, Copied, Failed int
}

// Step is what one call of CopyReplay did.
type Step struct {
	Outcome Outcome
	// Count is how many events were copied (Copied), are gone (Gone), or were too many to copy (Large).
	Count int
	// EventID is the event id of the first of these events. It may be zero when Outcome is Gone or Ended.
	EventID uuid.UUID
	// AggregateType and AggregateID are the aggregate of the events in Count. They may be empty when Outcome is
	// Gone or Ended.
	AggregateType string
	AggregateID   string
}

// Outcome is the kind of a [Step].
type Outcome string

// The outcomes.
const (
	// Copied: the copies of the events are written.
	Copied Outcome = "copied"
	// Gone: the event was removed from the database before it could be copied. It is off the list.
	Gone Outcome = "gone"
	// Large: more events of the aggregate are on the list than one transaction may copy. None was copied, and all are
	// off the list.
	Large Outcome = "large"
	// Ended: the list is empty.
	Ended Outcome = "ended"
)
