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

// DefaultBatch is the most dead letters in one transaction.
const DefaultBatch = 200

// Config sets an [Engine] up. Zero fields take the default named in their
// comment.
type Config struct {
	// RequestID says in the history of an event who redrove it, such as the
	// name of a person or the id of a Lambda request. Defaults to "unknown".
	RequestID string
	// Batch is the most dead letters in one transaction. Defaults to
	// [DefaultBatch].
	Batch int
	// Progress, when not nil, is told after each transaction what the answer is
	// by then. It is called by Run's goroutine.
	Progress func(a redrive.Answer)
}

// Engine redrives dead letters and releases lanes. It is safe for concurrent
// use, and so are several of them on one outbox.
type Engine struct {
	store Store
	cfg   Config
}

// New returns an engine on store.
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

// Run does what r asks until it is done, ctx ends, the time is until, or r's
// limit is reached; then the answer has a token to go on with. It begins no
// transaction after until. An error of the store ends the run: what was done is
// in the answer, and nothing else is.
//
// Run refuses, with an error, only a request that is not valid, is not for the
// sources of this package, or has a token that is none.
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

// run is a request under way.
type run struct {
	*Engine
	request redrive.Request
	answer  redrive.Answer
	began   time.Time
	after   int64
	stopped map[outbox.Lane]bool
	// skipped counts the lanes that go on without their dead event.
	skipped int
}

func (r *run) loop(ctx context.Context, until time.Time) {
	call := r.store.RedriveDeadLetters
	if r.request.Source == redrive.SourceBlocked {
		call = r.store.ReleaseBlocked
	}
	for {
		limit := r.limit()
		switch {
		case limit == 0:
			r.stop(redrive.StopLimit)
			return
		case ctx.Err() != nil:
			r.stop(redrive.StopCanceled)
			return
		case !time.Now().Before(until):
			r.stop(redrive.StopTime)
			return
		}
		rows, err := call(ctx, Batch{Request: &r.request, RequestID: r.cfg.RequestID, After: r.after, Limit: limit})
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
		if why := r.pause(ctx, r.brought()-done, until); why != "" {
			r.stop(why)
			return
		}
	}
}

// brought counts what the request's limit and rate are about: events, and lanes
// where they are what is asked for.
func (r *run) brought() int {
	if r.request.Source == redrive.SourceBlocked {
		return r.answer.Released + r.answer.Matched
	}
	return r.answer.Redriven + r.answer.Matched
}

// limit returns how many rows the next transaction may look at.
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

func (r *run) stop(why redrive.Stop) {
	r.answer.Stopped, r.answer.More = why, true
	r.answer.Token = strconv.FormatInt(r.after, 10)
}

// pause waits so long that n events keep to the rate, and says why the run ends
// if it does. A dry run does not wait.
func (r *run) pause(ctx context.Context, n int, until time.Time) redrive.Stop {
	if r.request.Rate <= 0 || n == 0 || r.request.DryRun {
		return ""
	}
	wait := time.Duration(float64(n) / r.request.Rate * float64(time.Second))
	if time.Until(until) <= wait {
		return redrive.StopTime
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ""
	case <-ctx.Done():
		return redrive.StopCanceled
	}
}

// take counts what became of one row.
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
		r.fail(row, "Refused", "outbox.events refuses the row as it is: see why it was given up, and mend it with SQL")
	case Gone:
	}
}

func (r *run) fail(row *Row, reason, text string) {
	r.answer.Fail(reason, text, row.EventID.String())
	if !r.stopped[row.Lane] {
		r.stopped[row.Lane] = true
		r.answer.GroupsStopped++
	}
}

// finish says what there is to know about the answer.
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
	note(a.Unconfirmed, "%d events were left dead: their aggregates went on without them, or have earlier ones that are dead, and redriving them breaks the order; confirm to do so")
	note(r.skipped, "%d aggregates go on without their dead event, which stays in outbox.dead_letters")
}
