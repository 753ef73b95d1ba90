package replay

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/serverless-outbox/serverless-outbox/internal/redrive"
)

// The defaults of Config.
const (
	DefaultAggregateLimit = 1_000
	DefaultSearchLimit    = 10_000
	DefaultBatch          = 100
)

// Config is the configuration of an [Engine]. A field that is zero takes its default; a negative one is an error.
type Config struct {
	// RequestID is stored in the history of each replayed event, such as the name of a person. Defaults to "unknown".
	RequestID string
	// AggregateLimit is the most events of one aggregate that are copied without Interleave, in one transaction.
	// Writers that lock the aggregate wait for it, about 50 µs for each event of 1 KB. Where the replay has more events
	// of an aggregate, all of them fail. With Interleave one transaction copies no more events than that either.
	// Defaults to [DefaultAggregateLimit].
	AggregateLimit int
	// SearchLimit is the most rows that one transaction of the search looks at. Defaults to [DefaultSearchLimit].
	SearchLimit int
	// Batch is the most events that one transaction copies with Interleave. Defaults to [DefaultBatch].
	Batch int
	// Progress, when not nil, is called by the goroutine of Run after each transaction of the search and of the
	// copying but one that completes the run, with the answer and the progress so far. The answer has the token,
	// except in a dry run, also in the first call, which comes before this run copies anything.
	Progress func(a redrive.Answer, p Progress)
}

// Engine replays events. It is safe for concurrent use, and several engines may work on one outbox at the same time.
type Engine struct {
	store Store
	cfg   Config
}

// New returns an engine that works on store. It fails without a store and for negative numbers in cfg.
func New(store Store, cfg Config) (*Engine, error) {
	var faults []error
	if store == nil {
		faults = append(faults, errors.New("store: is required"))
	}
	for _, f := range [...]struct {
		name  string
		value int
	}{
		{"AggregateLimit", cfg.AggregateLimit}, {"SearchLimit", cfg.SearchLimit}, {"Batch", cfg.Batch},
	} {
		if f.value < 0 {
			faults = append(faults, fmt.Errorf("config: %s: must not be negative, is %d", f.name, f.value))
		}
	}
	cfg.RequestID = cmp.Or(cfg.RequestID, "unknown")
	cfg.AggregateLimit = cmp.Or(cfg.AggregateLimit, DefaultAggregateLimit)
	cfg.SearchLimit = cmp.Or(cfg.SearchLimit, DefaultSearchLimit)
	cfg.Batch = cmp.Or(cfg.Batch, DefaultBatch)
	return &Engine{store: store, cfg: cfg}, errors.Join(faults...)
}

// Run implements [redrive.Engine]. It ends when all events of the replay are copied. It ends early, with a token
// in the answer, when ctx ends, at the time until, when the limit of r is reached, and when the store fails. What is
// copied in one transaction may exceed the limit. A request with the token goes on with the same replay; its filters
// are ignored.
//
// A request with filters and a token that no replay has begins a replay under that token, so that a caller that
// lost the answer can go on with a token of its own choice. Run returns an error only when the request is not
// valid or no replay, its token is no UUID, it is a dry run with a token, or it has no filters and a token that no
// replay has ([ErrNotFound]).
func (e *Engine) Run(ctx context.Context, r redrive.Request, until time.Time) (redrive.Answer, error) {
	r = r.Defaults()
	if err := r.Validate(); err != nil {
		return redrive.Answer{}, err //nolint:wrapcheck // names the request
	}
	if r.Action != redrive.ActionReplay {
		return redrive.Answer{}, &redrive.FieldError{Field: "action", Problem: "must be replay here"}
	}
	run := run{
		Engine: e, request: r, until: until, began: time.Now(),
		answer: redrive.Answer{Action: r.Action, DryRun: r.DryRun},
	}
	if r.DryRun {
		return run.count(ctx)
	}
	if err := run.identify(); err != nil {
		return redrive.Answer{}, err
	}
	run.answer.Token = run.id.String()
	err := run.replay(ctx)
	if errors.Is(err, ErrNotFound) {
		return redrive.Answer{}, err
	}
	return run.finish(ctx, err), nil
}

// run is one call of [Engine.Run].
type run struct {
	*Engine
	request  redrive.Request
	answer   redrive.Answer
	progress Progress
	// id is the id of the replay, which is the token of the answer. It is zero in a dry run.
	id    uuid.UUID
	began time.Time
	until time.Time
}

// identify sets r.id to the token of the request, or to a new UUID when there is none. It fails when the token is no
// UUID.
func (r *run) identify() (err error) {
	if r.request.Token == "" {
		r.id, err = uuid.NewV7()
		if err != nil {
			return fmt.Errorf("replay id: %w", err)
		}
		return nil
	}
	if r.id, err = uuid.Parse(r.request.Token); err != nil || r.id == uuid.Nil {
		return &redrive.FieldError{Field: "token", Problem: fmt.Sprintf("%q is not the token of a replay", r.request.Token)}
	}
	return nil
}

// ended reports whether the run may begin no further transaction, and sets Stopped of the answer to the reason.
func (r *run) ended(ctx context.Context) bool {
	r.answer.Stopped = r.request.Ended(ctx, r.until, r.answer.Redriven)
	return r.answer.Stopped != ""
}

// report calls Config.Progress, unless that is nil, with the answer and the progress so far.
func (r *run) report() {
	if r.cfg.Progress != nil {
		r.cfg.Progress(r.answer, r.progress)
	}
}

// replay searches for the events and copies them. A request without filters goes on with the replay r.id. It
// returns nil when the replay is complete, and when the run ended early for a reason that Stopped of the answer
// names; and else the error of the store.
func (r *run) replay(ctx context.Context) error {
	if r.ended(ctx) {
		return nil
	}
	if r.request.Filtered() {
		if err := r.store.StartReplay(ctx, r.id, r.cfg.RequestID, &r.request); err != nil {
			return err //nolint:wrapcheck // the store names the operation
		}
	}
	for !r.progress.Searched {
		if r.ended(ctx) {
			return nil
		}
		p, err := r.store.FindReplay(ctx, r.id, r.cfg.SearchLimit)
		if err != nil {
			return err //nolint:wrapcheck // the store names the operation
		}
		r.progress = p
		r.report()
	}
	limit := r.cfg.AggregateLimit
	if r.request.Interleave {
		limit = min(limit, r.cfg.Batch)
	}
	for !r.ended(ctx) {
		step, err := r.store.CopyReplay(ctx, r.id, limit)
		if err != nil {
			return err //nolint:wrapcheck // the store names the operation
		}
		if step.Outcome == Ended {
			return nil
		}
		before := r.answer.Redriven
		r.take(&step)
		r.report()
		if r.answer.Stopped = r.request.Pause(ctx, r.answer.Redriven-before, r.until); r.answer.Stopped != "" {
			return nil
		}
	}
	return nil
}

// take counts in the answer and in the progress what one call of CopyReplay did.
func (r *run) take(s *Step) {
	switch s.Outcome {
	case Copied:
		r.answer.Redriven += s.Count
		r.progress.Copied += s.Count
		return
	case Gone:
		r.answer.Fail("Gone", "the event was removed from the archive before it could be copied", s.EventID.String(), s.Count)
	case Large:
		r.answer.GroupsStopped++
		r.answer.Fail("AggregateTooLarge", fmt.Sprintf(
			"the replay has %d events of the aggregate %s %s, more than the %d that its writers may wait for: replay it with interleave, or in parts",
			s.Count, s.AggregateType, s.AggregateID, r.cfg.AggregateLimit), s.EventID.String(), s.Count)
	case Ended:
	}
	r.progress.Failed += s.Count
}

// count answers a dry run: it counts the events that the search of a replay would find, whatever the limits, and
// writes nothing. Its only error is for a token in the request; an error of the store is in the answer.
func (r *run) count(ctx context.Context) (redrive.Answer, error) {
	if r.request.Token != "" {
		return redrive.Answer{}, &redrive.FieldError{Field: "dry_run", Problem: "has no meaning for a replay that has begun: leave the `token` out"}
	}
	var after int64
	for !r.ended(ctx) {
		found, next, err := r.store.CountReplay(ctx, &r.request, after, r.cfg.SearchLimit)
		if err != nil {
			return r.finish(ctx, err), nil
		}
		r.answer.Matched += found
		r.progress.Through, r.progress.Found = next, r.answer.Matched
		if next == 0 {
			return r.finish(ctx, nil), nil
		}
		after = next
		r.report()
	}
	return r.finish(ctx, nil), nil
}

// finish completes the answer with err, the error of the store or nil, with More, the notes and the duration, and
// removes the token of a complete replay. An err while ctx has ended counts as StopCanceled, else as
// StopUnavailable.
func (r *run) finish(ctx context.Context, err error) redrive.Answer {
	a := &r.answer
	if err != nil {
		a.Problem, a.Stopped = err.Error(), redrive.StopUnavailable
		if ctx.Err() != nil {
			a.Stopped = redrive.StopCanceled
		}
	}
	if a.More = a.Stopped != ""; !a.More {
		a.Token = ""
	}
	if a.Redriven > 0 {
		a.Notes = append(a.Notes, "the copies come after all events that their aggregates had: consumers that keep a state by the attribute sequence must take outbox-replay in its place")
	}
	if r.request.Interleave && a.Redriven > 0 {
		a.Notes = append(a.Notes, "events that are written while the replay runs may come between its copies")
	}
	a.Seconds = time.Since(r.began).Seconds()
	return *a
}
