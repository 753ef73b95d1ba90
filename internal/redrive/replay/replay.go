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

// Defaults of Config.
const (
	DefaultAggregateLimit = 1_000
	DefaultSearchLimit    = 10_000
	DefaultBatch          = 100
)

// Config sets an [Engine] up. Zero fields take the default named in their
// comment.
type Config struct {
	// RequestID says in the history of an event who replayed it. Defaults to
	// "unknown".
	RequestID string
	// AggregateLimit is the most events of one aggregate: writers that lock it wait
	// while they are copied, about 50 µs for each of 1 KB. An aggregate that has
	// more fails; a replay that interleaves takes it. Defaults to 1,000.
	AggregateLimit int
	// SearchLimit is the most rows that one call looks at. Defaults to 10,000.
	SearchLimit int
	// Batch is the most events of one transaction of a replay that interleaves.
	// Defaults to 100.
	Batch int
	// Progress, when not nil, is told after each transaction what the answer is
	// by then and how far the replay is. The first call comes before anything is
	// copied, with the token to go on with. It is called by Run's goroutine.
	Progress func(a redrive.Answer, p Progress)
}

// Engine replays events. It is safe for concurrent use, and so are several of
// them on one outbox.
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

// Run does what r asks until it is done, ctx ends, the time is until, or r's
// limit is reached; aggregates are copied whole, so it may exceed the limit by
// less than one of them. The answer of a run that ended early has the token that
// the same replay goes on with, whatever filters come with it.
//
// With a token that no replay has, and filters, the replay begins under that
// token: a caller who chose it can always go on. Run refuses, with an error,
// only a request that is not valid, or a token that is no UUID, or that no
// replay has and that comes without filters ([ErrNotFound]).
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

// run is a request under way.
type run struct {
	*Engine
	request  redrive.Request
	answer   redrive.Answer
	progress Progress
	id       uuid.UUID
	began    time.Time
	until    time.Time
}

// identify names the replay: by the token, or anew.
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

// ends says whether nothing more may begin, and notes why.
func (r *run) ends(ctx context.Context) bool {
	switch {
	case ctx.Err() != nil:
		r.answer.Stopped = redrive.StopCanceled
	case !time.Now().Before(r.until):
		r.answer.Stopped = redrive.StopTime
	case r.request.Limit > 0 && r.answer.Redriven >= r.request.Limit:
		r.answer.Stopped = redrive.StopLimit
	default:
		return false
	}
	return true
}

func (r *run) tell() {
	if r.cfg.Progress != nil {
		r.cfg.Progress(r.answer, r.progress)
	}
}

// replay searches and copies. It returns nil at the end and when the run ends
// early, which Stopped says.
func (r *run) replay(ctx context.Context) error {
	if r.ends(ctx) {
		return nil
	}
	if r.request.Filtered() {
		if err := r.store.StartReplay(ctx, r.id, r.cfg.RequestID, &r.request); err != nil {
			return err //nolint:wrapcheck // the store names the operation
		}
	}
	for !r.progress.Searched {
		if r.ends(ctx) {
			return nil
		}
		p, err := r.store.FindReplay(ctx, r.id, r.cfg.SearchLimit)
		if err != nil {
			return err //nolint:wrapcheck // the store names the operation
		}
		r.progress = p
		r.tell()
	}
	limit := r.cfg.AggregateLimit
	if r.request.Interleave {
		limit = min(limit, r.cfg.Batch)
	}
	for !r.ends(ctx) {
		step, err := r.store.CopyReplay(ctx, r.id, limit)
		if err != nil {
			return err //nolint:wrapcheck // the store names the operation
		}
		if step.Outcome == Ended {
			return nil
		}
		r.take(&step)
		r.tell()
		r.pause(ctx, step.Count)
	}
	return nil
}

// take counts what one step did.
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
			"the replay has %d events of the aggregate %s %s, more than the %d that its writers may be kept waiting for: replay it with interleave, or in parts",
			s.Count, s.AggregateType, s.AggregateID, r.cfg.AggregateLimit), s.EventID.String())
		r.addLarge(s.Count - 1) // Fail has counted one
	case Ended:
	}
	r.progress.Failed += s.Count
}

// addLarge counts n more events of large aggregates.
func (r *run) addLarge(n int) {
	r.answer.Failed += n
	for i := range r.answer.Failures {
		if r.answer.Failures[i].Reason == "AggregateTooLarge" {
			r.answer.Failures[i].Count += n
		}
	}
}

// pause waits so long that n events keep to the rate, or until the run ends.
func (r *run) pause(ctx context.Context, n int) {
	if r.request.Rate <= 0 {
		return
	}
	wait := time.Duration(float64(n) / r.request.Rate * float64(time.Second))
	timer := time.NewTimer(min(wait, max(0, time.Until(r.until))))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// count answers a dry run.
func (r *run) count(ctx context.Context) (redrive.Answer, error) {
	if r.request.Token != "" {
		return redrive.Answer{}, &redrive.FieldError{Field: "dry_run", Problem: "has no meaning for a replay that has begun: leave the `token` out"}
	}
	var after int64
	for !r.ends(ctx) {
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
		r.tell()
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
