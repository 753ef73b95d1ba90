package janitor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

const (
	// listLimit is the most partitions of one run: to look at one locks it.
	listLimit = 100
	// cleanLimit is the most rows that one statement deletes.
	cleanLimit = 1_000
	// relayRetention is how long the row of a relay stays, for outbox status,
	// after its lease lapsed.
	relayRetention = time.Hour
	// tidyTimeout is the longest time that unsealing a partition may take after
	// the end of a run.
	tidyTimeout = 3 * time.Second
)

// Janitor keeps the tables of one outbox. Its Run may be called again, but not
// concurrently. Several janitors may run on one outbox at the same time.
type Janitor struct {
	store Store
	cfg   Config
}

// New returns a janitor. Its error is that of [Config.Validate].
func New(store Store, cfg Config) (*Janitor, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("janitor config: %w", err)
	}
	return &Janitor{store: store, cfg: cfg.WithDefaults()}, nil
}

// run is one run of a janitor.
type run struct {
	store  Store
	cfg    Config
	report *Report
	// until is when the steps have to end: the end of the run less Config.Reserve.
	until  time.Time
	sample Sample
	failed []error
}

// Run does all steps that there is time for before until, and returns a report.
// A step that fails does not stop the others; the errors of all are joined.
func (j *Janitor) Run(ctx context.Context, until time.Time) (Report, error) {
	began := time.Now()
	r := &run{store: j.store, cfg: j.cfg, report: &Report{Findings: []Finding{}}, until: until.Add(-j.cfg.Reserve)}
	r.steps(ctx)
	r.inspect(ctx)
	r.report.Seconds = time.Since(began).Seconds()
	for _, err := range r.failed {
		r.report.Errors = append(r.report.Errors, err.Error())
	}
	for _, f := range r.report.Findings {
		j.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "finding", slog.String("code", f.Code), slog.String("message", f.Message))
	}
	if j.cfg.Observer != nil {
		j.cfg.Observer.ObserveJanitor(r.report)
	}
	return *r.report, errors.Join(r.failed...)
}

// steps does the steps in the order of their urgency.
func (r *run) steps(ctx context.Context) {
	ctx, cancel := context.WithDeadline(ctx, r.until)
	defer cancel()
	sample, err := r.store.Sample(ctx)
	if !r.ok("sample", err) {
		return
	}
	r.sample, r.report.Rate = sample, sample.Rate
	for _, step := range []struct {
		name string
		do   func(ctx context.Context) error
	}{
		{"make partitions", r.makeAhead},
		{"archive", r.archive},
		{"move rows", r.moveDefault},
		{"expire", r.expire},
		{"clean up", r.clean},
	} {
		if !r.ok(step.name, step.do(ctx)) && ctx.Err() != nil {
			return
		}
	}
}

// ok notes the error of a step and reports whether there was none. A step that ran
// out of time is no failure: the next run goes on with it.
func (r *run) ok(name string, err error) bool {
	if err == nil {
		return true
	}
	if errors.Is(err, context.DeadlineExceeded) && !time.Now().Before(r.until) {
		r.report.More = true
		return false
	}
	r.failed = append(r.failed, fmt.Errorf("%s: %w", name, err))
	return false
}

// hasTime reports whether a step may begin. When none may, the report says that
// there is more to do.
func (r *run) hasTime() bool {
	if time.Now().Before(r.until) {
		return true
	}
	r.report.More = true
	return false
}

// makeAhead makes the partitions that should be ready, each in a transaction of its
// own, so that a writer that waits for it never waits for more than one.
func (r *run) makeAhead(ctx context.Context) error {
	for number := r.sample.Current; number <= r.sample.Current+int64(r.cfg.ahead(r.sample.Rate)) && r.hasTime(); number++ {
		_, err := r.patiently(ctx, func() (Outcome, error) {
			made, err := r.store.Make(ctx, number)
			if made {
				r.report.Made++
			}
			if errors.Is(err, ErrLocked) {
				return Locked, nil
			}
			return Done, err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// ErrLocked is what Partitions.Make returns, wrapped, when another transaction has
// a lock that it needs.
var ErrLocked = errors.New("another transaction has a lock on the table")

// patiently does a step, and repeats it while the outcome is Locked or Busy: up to
// Config.Attempts times, with growing pauses. It counts a step that stays Locked or
// Busy in the report.
func (r *run) patiently(ctx context.Context, step func() (Outcome, error)) (Outcome, error) {
	pause := r.cfg.RetryMin
	for attempt := 1; ; attempt++ {
		outcome, err := step()
		if err != nil || outcome != Locked && outcome != Busy {
			return outcome, err
		}
		if attempt == r.cfg.Attempts || !r.hasTime() {
			r.report.Locked++
			r.report.Shared = r.report.Shared || outcome == Busy
			return outcome, nil
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return outcome, ctx.Err()
		case <-timer.C:
		}
		pause *= 2
	}
}

// clean deletes lapsed relays, and dead letters and records of redrives whose
// retention is over.
func (r *run) clean(ctx context.Context) error {
	var failed []error
	relays, err := r.store.ExpireRelays(ctx, r.sample.At.Add(-relayRetention))
	r.report.Relays += relays
	failed = append(failed, err)
	for _, c := range []struct {
		retention time.Duration
		count     *int64
		del       func(ctx context.Context, before time.Time, limit int) (int64, error)
	}{
		{r.cfg.DeadLetterRetention, &r.report.DeadLetters, r.store.DeleteDeadLetters},
		{r.cfg.ArchiveRetention, &r.report.Redrives, r.store.DeleteRedrives},
	} {
		for c.retention > 0 && r.hasTime() {
			n, err := c.del(ctx, r.sample.At.Add(-c.retention), cleanLimit)
			*c.count += n
			if err != nil {
				failed = append(failed, err)
			}
			if err != nil || n < cleanLimit {
				break
			}
		}
	}
	return errors.Join(failed...)
}

// inspect reads the health of the outbox into the report, and records the end of
// the run. It takes up to Config.Reserve, also after ctx ended.
func (r *run) inspect(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.cfg.Reserve)
	defer cancel()
	health, err := r.store.Health(ctx, r.cfg.AlarmAge, sampleLimit)
	if err != nil {
		r.failed = append(r.failed, fmt.Errorf("inspect: %w", err))
		return
	}
	r.report.Health = health
	r.report.Findings = findings(&health, r.report.PartitionsKept, &r.cfg)
	if err := r.store.End(ctx); err != nil {
		r.failed = append(r.failed, fmt.Errorf("end: %w", err))
	}
}
