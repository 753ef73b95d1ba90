package dlq

import (
	"context"
	"fmt"
	"time"

	"github.com/serverless-outbox/serverless-outbox/internal/redrive"
)

// Recorder keeps records of runs, in a place that the queues' owner cannot empty.
type Recorder interface {
	// BeginDLQRedrive records that a run begins, and returns the id of the record.
	BeginDLQRedrive(ctx context.Context, b Begun) (int64, error)
	// EndDLQRedrive adds to the record with that id the answer of the run.
	EndDLQRedrive(ctx context.Context, id int64, a *redrive.Answer) error
}

// Begun is what a record has from the beginning.
type Begun struct {
	// RequestID is what the run was invoked as, as in [Config].
	RequestID string
	// QueueARN and TargetARN are the ARNs of the dead-letter queue and of the queue to which its messages go.
	QueueARN, TargetARN string
	// Request has the filters and the limit.
	Request *redrive.Request
}

// endTimeout bounds the call that ends a record.
const endTimeout = 2 * time.Second

const noteUnrecorded = "no database is configured: there is no record of this run"

// begin records that the run begins, and sets Recorded of the answer. Without a recorder the answer says that there is
// no record. An error means that the run must not begin.
func (r *run) begin(ctx context.Context) error {
	recorded := r.cfg.Recorder != nil
	r.answer.Recorded = &recorded
	if !recorded {
		r.answer.Notes = append(r.answer.Notes, noteUnrecorded)
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, r.cfg.CallTimeout)
	defer cancel()
	id, err := r.cfg.Recorder.BeginDLQRedrive(ctx, Begun{
		RequestID: r.cfg.RequestID, QueueARN: r.route.QueueARN, TargetARN: r.route.TargetARN, Request: r.req,
	})
	if err != nil {
		return fmt.Errorf("record the run, before it moves anything: %w", err)
	}
	r.record = id
	return nil
}

// end ends the record of the run, also after ctx ended, and takes endTimeout at most. Where that fails, a note of the
// answer says so: the record has no counts then.
func (r *run) end(ctx context.Context, a *redrive.Answer) {
	if r.cfg.Recorder == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
	defer cancel()
	if err := r.cfg.Recorder.EndDLQRedrive(ctx, r.record, a); err != nil {
		a.Notes = append(a.Notes, fmt.Sprintf("the record of this run has no end: %v", err))
	}
}
