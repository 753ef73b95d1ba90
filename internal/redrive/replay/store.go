// Package replay sends events again that were sent already: of an aggregate, of
// a type, of a range of ids or of time, or by their ids. It knows contracts
// only, no PostgreSQL.
//
// A replay first searches for its events and lists them. Then it writes a copy
// of each: a new row with a new id, the same event id, the next generation of
// its deduplication id and a mark of what it copies, which the message carries
// as the attribute outbox-replay. The relay sends the copies like any event; the
// rows that were sent, and what they say about their delivery, stay as they are.
//
// The copies of an aggregate are written in one transaction that holds the lock
// of the aggregate. Writers that take it as well ([outbox.Enqueuer], with
// LockAggregates) wait, so that what they write later is also sent later; events
// of those that do not may come between the copies. List and copies change in the same transactions: a replay
// that is killed goes on under its id, and copies nothing twice.
package replay

import (
	"context"
	"errors"

	"github.com/google/uuid"

	"github.com/serverless-outbox/serverless-outbox/internal/redrive"
)

// ErrNotFound means that there is no replay of that id.
var ErrNotFound = errors.New("no such replay")

// Searcher finds the events of a replay. Every call is one transaction.
type Searcher interface {
	// CountReplay looks at the next limit rows behind after and counts those
	// that the request wants. next is where to go on, 0 at the end.
	CountReplay(ctx context.Context, r *redrive.Request, after int64, limit int) (found int, next int64, err error)
	// StartReplay begins the replay of what has been sent by now. One that has
	// begun stays as it is.
	StartReplay(ctx context.Context, id uuid.UUID, requestID string, r *redrive.Request) error
	// FindReplay goes on with the search by limit rows and returns how far the
	// replay is then, or ErrNotFound.
	FindReplay(ctx context.Context, id uuid.UUID, limit int) (Progress, error)
}

// Copier copies the events of a replay.
type Copier interface {
	// CopyReplay copies the next events of a replay that was searched for, all
	// of one aggregate, in one transaction: all that the replay has of it, limit
	// at most; or, when the replay interleaves, those that come next. Of two
	// callers one waits for the other.
	CopyReplay(ctx context.Context, id uuid.UUID, limit int) (Step, error)
}

// Store is both.
type Store interface {
	Searcher
	Copier
}

// Progress is how far a replay is.
type Progress struct {
	// Searched says that all events are listed.
	Searched bool
	// Through is the id up to which was searched, Last where the search ends.
	Through, Last int64
	// Found, Copied and Failed count events since the replay began.
	Found, Copied, Failed int
}

// Step is what one call of CopyReplay did.
type Step struct {
	Outcome Outcome
	// Count is the number of events.
	Count int
	// EventID is the first of them, where it is known.
	EventID       uuid.UUID
	AggregateType string
	AggregateID   string
}

// Outcome is what one step did.
type Outcome string

// The outcomes.
const (
	// Copied: the events will be sent again.
	Copied Outcome = "copied"
	// Gone: the event was removed since it was found.
	Gone Outcome = "gone"
	// Large: the aggregate has more events than one transaction may copy. None
	// of them was.
	Large Outcome = "large"
	// Ended: nothing is left to copy.
	Ended Outcome = "ended"
)
