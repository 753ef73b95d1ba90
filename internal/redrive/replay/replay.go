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

// Config sets an [Engine] up. A field that is zero takes its default.
type Config struct {
	// RequestID names the request in the history of each event. Defaults to
	// "unknown".
	RequestID string
	// AggregateLimit is the most events of one aggregate that a replay copies in
	// order. Writers that lock the aggregate wait while its events are copied,
	// about 50 µs for each event of 1 KB. An aggregate with more events fails,
	// unless the request interleaves. Defaults to [DefaultAggregateLimit].
	AggregateLimit int
	// SearchLimit is the most rows that one call looks at. Defaults to
	// [DefaultSearchLimit].
	SearchLimit int
	// Batch is the most events in one transaction of a replay that interleaves.
	// Defaults to [DefaultBatch].
	Batch int
	// Progress, when not nil, is called after each transaction, by the goroutine
	// of Run, with the answer and the progress so far. The first call comes before
	// anything is copied, and its answer has the token to go on with.
	Progress func(a redrive.Answer, p Progress)
}

// Engine replays events. It is safe for concurrent use, and several engines may
// work on one outbox.
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

// Run implements [redrive.Engine]. It ends when all events of the replay are
// copied, and early when ctx ends, the time is until, the limit of r is reached or
// the store fails. An aggregate is copied whole, so the run may exceed the limit by
// less than one aggregate. The answer of a run that ended early has a token, with
// which the same replay goes on; filters that come with the token are ignored then.
//
// A token that no replay has, together with filters, begins the replay under that
// token, so that a caller that chose the token can go on although it lost the
// answer. Run returns an error only for a request that is not valid, a token that
// is no UUID, and a token that no replay has and that comes without filters
// ([ErrNotFound]).
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

// run is one run of the engine.
type run struct {
	*Engine
	request  redrive.Request
	answer   redrive.Answer
	progress Progress
	id       uuid.UUID
	began    time.Time
	until    time.Time
}

// identify sets the id of the replay: the token, or a new one.
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

// ended reports whether nothing more may begin, and notes why.
func (r *run) ended(ctx context.Context) bool {
	r.answer.Stopped = r.request.Ended(ctx, r.until, r.answer.Redriven)
	return r.answer.Stopped != ""
}

// report calls Config.Progress.
func (r *run) report() {
	if r.cfg.Progress != nil {
		r.cfg.Progress(r.answer, r.progress)
	}
}

// replay searches and copies. It returns nil when the replay is complete, and when
// the run ended early with Stopped set.
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

// take counts what one step did in the answer and the progress.
func (r *run) take(s *Step) {
	switch s.Outcome {
	case Copied:
		r.answer.Redriven += s.Count
		r.progress.Copied += s.Count
		return
	case Gone:
		r.answer.Fail("Gone", "the event was removed from the archive before it could be copied", s.EventID.String())
	case Large:
		r.answer.GroupsStopped++
		r.answer.Fail("AggregateTooLarge", fmt.Sprintf(
			"the replay has %d events of the aggregate %s %s, more than the %d that its writers may wait for: replay it with interleave, or in parts",
			s.Count, s.AggregateType, s.AggregateID, r.cfg.AggregateLimit), s.EventID.String())
		r.addLarge(s.Count - 1) // Fail has counted one
	case Ended:
	}
	r.progress.Failed += s.Count
}

// addLarge counts n more failed events of aggregates that are too large.
func (r *run) addLarge(n int) {
	r.answer.Failed += n
	for i := range r.answer.Failures {
		if r.answer.Failures[i].Reason == "AggregateTooLarge" {
			r.answer.Failures[i].Count += n
		}
	}
}

// count answers a dry run: it counts what a replay would find, and writes nothing.
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

// finish completes the answer.
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
