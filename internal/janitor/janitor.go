package janitor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

const (
	// listLimit bounds the partitions looked at in one run: each is locked.
	listLimit = 100
	// cleanLimit bounds the rows that one statement deletes.
	cleanLimit = 1_000
	// relayRetention is how long the row of a dead relay is kept for others to
	// see.
	relayRetention = time.Hour
	// tidyTimeout bounds what is done after the time of a run.
	tidyTimeout = 3 * time.Second
)

// Janitor keeps one outbox. Run may be called again, but not twice at once;
// several janitors may.
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

// run is one run.
type run struct {
	store  Store
	cfg    Config
	report *Report
	until  time.Time
	sample Sample
	failed []error
}

// Run does all there is to do until shortly before the time until, and reports.
// A step that fails does not stop the others; its error is returned at the end.
func (j *Janitor) Run(ctx context.Context, until time.Time) (Report, error) {
	began := time.Now()
	r := &run{store: j.store, cfg: j.cfg, report: &Report{Findings: []Finding{}}, until: until.Add(-j.cfg.Reserve)}
	r.all(ctx)
	r.look(ctx)
	r.report.Seconds = time.Since(began).Seconds()
	for _, err := range r.failed {
		r.report.Errors = append(r.report.Errors, err.Error())
	}
	for _, f := range r.report.Findings {
		j.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "found what should not be", slog.String("code", f.Code), slog.String("finding", f.Message))
	}
	if j.cfg.Observer != nil {
		j.cfg.Observer.ObserveJanitor(r.report)
	}
	return *r.report, errors.Join(r.failed...)
}

// all does the steps in the order of their urgency.
func (r *run) all(ctx context.Context) {
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

// ok takes note of what failed. A step that ran out of time is gone on with by
// the next run.
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

// time reports whether there is some left.
func (r *run) time() bool {
	if time.Now().Before(r.until) {
		return true
	}
	r.report.More = true
	return false
}

// makeAhead makes one partition after the other, each in a transaction of its
// own, so that nobody waits for more than one.
func (r *run) makeAhead(ctx context.Context) error {
	for number := r.sample.Current; number <= r.sample.Current+int64(r.cfg.ahead(r.sample.Rate)) && r.time(); number++ {
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

// ErrLocked is what Partitions.Make returns, wrapped, when somebody uses what it
// needs for itself alone.
var ErrLocked = errors.New("somebody uses the table")

// patiently tries a step again while somebody is in its way.
func (r *run) patiently(ctx context.Context, step func() (Outcome, error)) (Outcome, error) {
	pause := r.cfg.RetryMin
	for attempt := 1; ; attempt++ {
		outcome, err := step()
		if err != nil || outcome != Locked && outcome != Busy {
			return outcome, err
		}
		if attempt == r.cfg.Attempts || !r.time() {
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

// clean deletes what was left behind.
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
		for c.retention > 0 && r.time() {
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

// look reads how things stand at the end. It has time of its own.
func (r *run) look(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.cfg.Reserve)
	defer cancel()
	health, err := r.store.Health(ctx, r.cfg.AlarmAge, sampleLimit)
	if err != nil {
		r.failed = append(r.failed, fmt.Errorf("look: %w", err))
		return
	}
	r.report.Health = health
	r.report.Findings = findings(&health, r.report.Held, &r.cfg)
	if err := r.store.End(ctx); err != nil {
		r.failed = append(r.failed, fmt.Errorf("end: %w", err))
	}
}
