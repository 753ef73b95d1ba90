package redrive

import (
	"context"
	"time"
)

// Engine answers the requests of one kind. The packages dlq, rows and replay
// have one each.
type Engine interface {
	// Run does what r asks and starts nothing after until. It refuses a request
	// that it cannot begin with an error. What goes wrong later is in the answer,
	// beside what was done by then.
	Run(ctx context.Context, r Request, until time.Time) (Answer, error)
}

// Engines has what answers each kind of request. Each function opens what it
// needs when it is called, so that a request for a dead-letter queue needs no
// database, and the others no AWS.
type Engines struct {
	// DLQ answers requests for SourceDLQ.
	DLQ func(ctx context.Context, r Request, until time.Time) (Answer, error)
	// Rows answers requests for SourceDeadLetters and SourceBlocked.
	Rows func(ctx context.Context, r Request, until time.Time) (Answer, error)
	// Replay answers requests for ActionReplay.
	Replay func(ctx context.Context, r Request, until time.Time) (Answer, error)
}

// Run answers r by the function for its kind. A request that is not valid is an
// error, and nothing is opened for it.
func (e *Engines) Run(ctx context.Context, r Request, until time.Time) (Answer, error) {
	if err := r.Validate(); err != nil {
		return Answer{}, err
	}
	switch r = r.Defaults(); {
	case r.Action == ActionReplay:
		return e.Replay(ctx, r, until)
	case r.Source == SourceDLQ:
		return e.DLQ(ctx, r, until)
	default:
		return e.Rows(ctx, r, until)
	}
}
