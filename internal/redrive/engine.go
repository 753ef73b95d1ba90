package redrive

import (
	"context"
	"time"
)

// Engine answers the requests of one kind. The packages sqsdlq, rows and replay have one each.
type Engine interface {
	// Run brings back the events that r asks for and starts nothing after until. Its error says why it could not begin.
	// What fails later is in the answer, with what was done by then.
	Run(ctx context.Context, r Request, until time.Time) (Answer, error)
}

// Engines has one function for each kind of request, which runs the engine for that kind. All are required. The
// function connects to what the engine needs when it is called: a request for a dead-letter queue needs no
// database, and the others need no queue.
type Engines struct {
	// DLQ answers requests for SourceDLQ.
	DLQ func(ctx context.Context, r Request, until time.Time) (Answer, error)
	// Rows answers requests for SourceDeadLetters and SourceBlocked.
	Rows func(ctx context.Context, r Request, until time.Time) (Answer, error)
	// Replay answers requests for ActionReplay.
	Replay func(ctx context.Context, r Request, until time.Time) (Answer, error)
}

// Run validates r and calls the function for its kind, with ActionRedrive in the place of an empty Action. A request
// that is not valid is an error, and no function is called.
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
