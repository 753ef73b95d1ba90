package rows

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/serverless-outbox/serverless-outbox/internal/redrive"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

// DefaultBatch is the default of [Config].Batch.
const DefaultBatch = 200

// Config is the configuration of an [Engine]. A field that is zero takes its default.
type Config struct {
	// RequestID is stored in the history of each event that is brought back, such as the name of a person or the id
	// of a Lambda request. Defaults to "unknown".
	RequestID string
	// Batch is the most dead letters or blocked lanes in one transaction. Defaults to [DefaultBatch]; a negative
	// one is an error.
	Batch int
	// Progress, when not nil, is called by the goroutine of Run after each transaction that looked at a dead letter or
	// lane, with the answer so far.
	Progress func(a redrive.Answer)
}

// Engine redrives dead letters and releases blocked lanes. It is safe for concurrent use, and several engines may work
// on one outbox at the same time.
type Engine struct {
	store Store
	cfg   Config
}

// New returns an engine that works on store. It fails without a store and for a negative Batch.
func New(store Store, cfg Config) (*Engine, error) {
	var faults []error
	if store == nil {
		faults = append(faults, errors.New("store: is required"))
	}
	if cfg.Batch < 0 {
		faults = append(faults, fmt.Errorf("config: Batch: must not be negative, is %d", cfg.Batch))
	}
	cfg.RequestID = cmp.Or(cfg.RequestID, "unknown")
	cfg.Batch = cmp.Or(cfg.Batch, DefaultBatch)
	return &Engine{store: store, cfg: cfg}, errors.Join(faults...)
}

// Run implements [redrive.Engine]. It ends when it has looked at every dead letter or blocked lane that passes
// the filters. It ends early, with a token in the answer, when ctx ends, at the time until, when the limit of r
// is reached, and when the store fails. It begins no transaction after until. The answer counts what is committed,
// but for a last call of the store that committed and failed.
//
// Run returns an error only when the request is not valid, its source is neither dead_letters nor blocked, or its token
// has not the form that this engine gives.
func (e *Engine) Run(ctx context.Context, r redrive.Request, until time.Time) (redrive.Answer, error) {
	r = r.Defaults()
	if err := r.Validate(); err != nil {
		return redrive.Answer{}, err //nolint:wrapcheck // names the request
	}
	if r.Action != redrive.ActionRedrive || r.Source != redrive.SourceDeadLetters && r.Source != redrive.SourceBlocked {
		return redrive.Answer{}, &redrive.FieldError{Field: "source", Problem: "must be dead_letters or blocked here"}
	}
	run := run{
		Engine: e, request: r, began: time.Now(), stopped: map[outbox.Lane]bool{},
		answer: redrive.Answer{Action: r.Action, Source: r.Source, DryRun: r.DryRun},
	}
	if r.Token != "" {
		after, err := strconv.ParseInt(r.Token, 10, 64)
		if err != nil || after < 0 {
			return redrive.Answer{}, &redrive.FieldError{Field: "token", Problem: fmt.Sprintf("%q is not the token of an answer", r.Token)}
		}
		run.after = after
	}
	run.loop(ctx, until)
	run.finish()
	return run.answer, nil
}

// run is one call of [Engine.Run].
type run struct {
	*Engine
	request redrive.Request
	answer  redrive.Answer
	began   time.Time
	// after is the ID of the last [Row] that the store returned, before the first that of the request's token, 0 without
	// one. It is the token of the answer.
	after int64
	// stopped are the lanes that had a failure in this run.
	stopped map[outbox.Lane]bool
	// skipped counts the lanes that were released, by Confirm, without the dead letter that blocks them.
	skipped int
}

// loop calls the store, which makes one transaction a call, until the run ends, and counts in the answer what
// each call did. It calls Config.Progress after each call, and waits after it as the rate of the request asks.
func (r *run) loop(ctx context.Context, until time.Time) {
	call := r.store.RedriveDeadLetters
	if r.request.Source == redrive.SourceBlocked {
		call = r.store.ReleaseBlocked
	}
	for {
		if why := r.request.Ended(ctx, until, r.brought()); why != "" {
			r.stop(why)
			return
		}
		rows, err := call(ctx, Batch{Request: &r.request, RequestID: r.cfg.RequestID, After: r.after, Limit: r.limit()})
		if err != nil {
			r.answer.Problem = err.Error()
			if r.stop(redrive.StopUnavailable); ctx.Err() != nil {
				r.stop(redrive.StopCanceled)
			}
			return
		}
		if len(rows) == 0 {
			return
		}
		done := r.brought()
		for i := range rows {
			r.take(&rows[i])
		}
		r.after = rows[len(rows)-1].ID
		r.answer.Token = strconv.FormatInt(r.after, 10)
		if r.cfg.Progress != nil {
			r.cfg.Progress(r.answer)
		}
		if why := r.request.Pause(ctx, r.brought()-done, until); why != "" {
			r.stop(why)
			return
		}
	}
}

// brought returns what the limit and the rate of the request count: events brought back, or, for SourceBlocked, lanes
// released; in a dry run, those that would be.
func (r *run) brought() int {
	if r.request.Source == redrive.SourceBlocked {
		return r.answer.Released + r.answer.Matched
	}
	return r.answer.Redriven + r.answer.Matched
}

// limit returns how many dead letters or lanes the next transaction may look at: Config.Batch, but no more than the
// rate allows in a second, and no more than are left of the limit of the request.
func (r *run) limit() int {
	limit := r.cfg.Batch
	if r.request.Rate > 0 {
		limit = min(limit, int(math.Ceil(r.request.Rate)))
	}
	if r.request.Limit > 0 {
		limit = min(limit, max(0, r.request.Limit-r.brought()))
	}
	return limit
}

// stop sets in the answer why the run ended early, and the token with which the next run goes on.
func (r *run) stop(why redrive.Stop) {
	r.answer.Stopped, r.answer.More = why, true
	r.answer.Token = strconv.FormatInt(r.after, 10)
}

// take counts in the answer what became of one dead letter or lane.
func (r *run) take(row *Row) {
	switch row.Outcome {
	case Redriven:
		if r.request.DryRun {
			r.answer.Matched++
		} else {
			r.answer.Redriven++
		}
		if !row.Ordered {
			r.answer.OutOfOrder++
		}
		if r.request.Source == redrive.SourceBlocked && !r.request.DryRun {
			r.answer.Released++
		}
	case Released:
		if r.request.DryRun {
			r.answer.Matched++
			return
		}
		r.answer.Released++
		if r.request.Confirm {
			r.skipped++
		}
	case Unconfirmed:
		r.answer.Unconfirmed++
	case Behind:
		r.answer.Unseen++
	case Archiving:
		r.fail(row, "Archiving", "the partition of its id is being archived: try again in a minute")
	case Refused:
		r.fail(row, "Refused", "outbox.events refuses the row as it is: see why it was given up, and correct it with SQL")
	case Gone:
	}
}

// fail counts in the answer that the row failed, for the reason and with the error text, and that its lane is stopped if
// it was not yet. It stops nothing: what became of later rows of the lane is in their own outcomes.
func (r *run) fail(row *Row, reason, text string) {
	r.answer.Fail(reason, text, row.EventID.String(), 1)
	if !r.stopped[row.Lane] {
		r.stopped[row.Lane] = true
		r.answer.GroupsStopped++
	}
}

// finish completes the answer with its duration and its notes, and removes the token where nothing is left to do.
func (r *run) finish() {
	a := &r.answer
	if !a.More {
		a.Token = ""
	}
	a.Seconds = time.Since(r.began).Seconds()
	note := func(n int, format string) {
		if n > 0 {
			a.Notes = append(a.Notes, fmt.Sprintf(format, n))
		}
	}
	if r.request.DryRun {
		note(a.OutOfOrder, "%d of the events would come after later ones of their aggregate, or go elsewhere")
	} else {
		note(a.OutOfOrder, "%d of the events come after later ones of their aggregate, or go elsewhere: the order of their aggregates is broken there")
	}
	if r.request.Source == redrive.SourceBlocked {
		note(a.Unconfirmed, "%d aggregates stay blocked: the dead letter that they wait behind is gone; confirm to let them go on without it")
	} else {
		note(a.Unconfirmed, "%d events stay dead letters: their aggregates went on without them, or have earlier dead letters, and redriving them breaks the order; confirm to do so")
	}
	note(r.skipped, "%d aggregates go on without their dead letter, which stays in outbox.dead_letters if it is still there")
}
