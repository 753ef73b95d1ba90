package janitor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

const (
	// listLimit is the most partitions of outbox.events, and of the archive, that a run looks at, those with the lowest
	// numbers: PostgreSQL locks each partition that is looked at.
	listLimit = 100
	// cleanLimit is the most rows that one statement deletes.
	cleanLimit = 1_000
	// relayRetention is how long the row of a relay stays in outbox.relays after its lease lapsed, so that the command
	// outbox status can show it.
	relayRetention = time.Hour
	// tidyTimeout is the longest time that unsealing a partition may take, also when the run has no time left.
	tidyTimeout = 3 * time.Second
)

// Janitor keeps the tables of one outbox small. Run may be called many times, but only one call at a time. Several
// janitors may run on one outbox at the same time.
type Janitor struct {
	store Store
	cfg   Config
}

// New returns a janitor that works on store, with the defaults of cfg filled in. Its error is that of
// [Config.Validate].
func New(store Store, cfg Config) (*Janitor, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("janitor config: %w", err)
	}
	return &Janitor{store: store, cfg: cfg.WithDefaults()}, nil
}

// run is one call of [Janitor.Run].
type run struct {
	*Janitor
	report Report
	// until is when the steps have to end: Config.Reserve before the end of the run.
	until  time.Time
	sample Sample
	// failed are the errors of the steps so far.
	failed []error
}

// Run does the steps for which there is time until Config.Reserve before until, reads the health of the outbox,
// logs the findings, gives the report to Config.Observer and returns it, also with an error. A step that fails
// does not stop the others; the error joins the errors of all. A step that ran out of time is no error:
// Report.More is true then.
func (j *Janitor) Run(ctx context.Context, until time.Time) (Report, error) {
	began := time.Now()
	r := &run{Janitor: j, report: Report{Findings: []Finding{}}, until: until.Add(-j.cfg.Reserve)}
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
		j.cfg.Observer.ObserveJanitor(&r.report)
	}
	return r.report, errors.Join(r.failed...)
}

// steps measures how fast ids are drawn, and then does the steps, the most urgent ones first, until the time is
// over. It does none when the measurement fails; a step that fails is no obstacle to the next. Errors go to
// r.failed.
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
		{"move rows", func(ctx context.Context) error {
			return r.move(ctx, DefaultPartition, r.sample.At.Add(-r.cfg.Retention))
		}},
		{"expire", r.expire},
		{"clean up", r.clean},
	} {
		if !r.ok(step.name, step.do(ctx)) && ctx.Err() != nil {
			return
		}
	}
}

// ok reports whether the step with that name had no error, and else adds the error to r.failed. A step that ran out of
// time has not failed: ok then sets Report.More, and the next run goes on.
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

// hasTime reports whether there is time to begin a transaction. If not, it sets Report.More.
func (r *run) hasTime() bool {
	if time.Now().Before(r.until) {
		return true
	}
	r.report.More = true
	return false
}

// makeAhead makes those partitions that should be ready and are missing, the one in use included. Each is a
// transaction of its own, so that a writer never waits for more than one. A partition whose lock stays taken is
// left to the next run.
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

// ErrLocked is the error of Partitions.Make, wrapped, when another transaction has a lock that it needs.
var ErrLocked = errors.New("another transaction has a lock on the table")

// patiently calls step, and calls it again while its outcome is Locked or Busy: Config.Attempts times at most,
// with a pause in between that doubles from Config.RetryMin on. A last outcome of Locked or Busy is counted in
// the report and is no error. It calls step at least once, and gives up early when there is no time; when ctx
// ends in a pause, the error is that of ctx.
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

// clean deletes the rows of relays whose leases lapsed relayRetention ago, dead letters older than DeadLetterRetention,
// and records of redrives, of runs over dead-letter queues and of deleted dead letters older than ArchiveRetention. A
// retention of zero keeps all.
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

// inspect reads the health of the outbox and the findings into the report, and then records in the database that the
// run ended, unless the health could not be read. Errors go to r.failed. It takes Config.Reserve at most and works also
// after ctx ended.
func (r *run) inspect(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.cfg.Reserve)
	defer cancel()
	health, err := r.store.Health(ctx, r.cfg.AlarmAge, countLimit)
	if err != nil {
		r.failed = append(r.failed, fmt.Errorf("inspect: %w", err))
		return
	}
	r.report.Health = health
	r.report.Findings = findings(&health, r.report.PartitionsKept, r.report.RowsKept, &r.cfg)
	if err := r.store.End(ctx); err != nil {
		r.failed = append(r.failed, fmt.Errorf("end: %w", err))
	}
}
