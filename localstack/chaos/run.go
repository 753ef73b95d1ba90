//go:build unix

package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"

	lambdalocal "github.com/serverless-outbox/serverless-outbox/localstack/lambda"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest/history"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest/pgserver"
)

//go:embed pending.sql
var pendingSQL string

// result is what became of a run.
type result struct {
	seed      uint64
	plan      []injection
	took      time.Duration
	drained   time.Duration
	verdict   *history.Verdict
	failovers []time.Duration
	ends      invocationCounts
	logs      string
	err       error
}

// ok says that the run took place as planned and that nothing was broken.
func (r *result) ok() bool {
	if r.err != nil || r.verdict == nil || !r.verdict.OK() || r.ends.overran > 0 {
		return false
	}
	for i := range r.plan {
		if r.plan[i].err != nil {
			return false
		}
	}
	return true
}

// play makes one run and judges it. The logs of a run that is OK are removed.
func play(ctx context.Context, cfg config, p program, server *pgserver.Server, seed uint64) result {
	began := time.Now()
	r := result{seed: seed, plan: makePlan(seed, cfg.kinds, cfg.active)}
	if r.logs, r.err = os.MkdirTemp(cfg.logs, fmt.Sprintf("chaos-%d-", seed)); r.err != nil {
		return r
	}
	log, err := os.Create(filepath.Join(r.logs, "relay.log"))
	if err != nil {
		r.err = err
		return r
	}
	j := newJournal(cfg.tamper)
	r.err = r.play(ctx, cfg, p, server, j, log)
	r.took = time.Since(began)
	if err := log.Close(); err != nil {
		r.err = errors.Join(r.err, err)
	}
	if r.ok() {
		r.err = os.RemoveAll(r.logs)
		return r
	}
	r.err = errors.Join(r.err, r.keep(j))
	return r
}

func (r *result) play(ctx context.Context, cfg config, p program, server *pgserver.Server, j *journal, log *os.File) (err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	w, err := openWorld(ctx, p, server, fmt.Sprintf("chaos_%d_%d", r.seed, time.Now().UnixNano()), j, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	ticking, stopTicks := context.WithCancel(ctx)
	defer stopTicks()
	var background sync.WaitGroup
	background.Go(func() { lambdalocal.Schedule{Every: tick}.Run(ticking, w.fn) })

	stop := make(chan struct{})
	var writing sync.WaitGroup
	for n := range writers {
		one := writer{pool: w.pool, journal: j, random: rand.New(rand.NewPCG(r.seed, 100+uint64(n)))} //nolint:gosec // Repeatable on purpose.
		writing.Go(func() {
			if writeErr := one.run(ctx, stop); writeErr != nil {
				cancel(fmt.Errorf("write: %w", writeErr))
			}
		})
	}
	r.harm(ctx, cfg, w)
	close(stop)
	written := time.Now()
	writing.Wait()
	err = r.drain(ctx, cfg, w)
	stopTicks()
	background.Wait()
	closing, done := context.WithTimeout(context.WithoutCancel(ctx), 2*relayTimeout)
	defer done()
	if err = errors.Join(err, w.fn.Close(closing)); err != nil {
		// Judged all the same: what is missing says more than a timeout.
		err = fmt.Errorf("come to rest: %w", err)
	}
	if finishErr := j.finish(closing, w.pool); finishErr != nil {
		return errors.Join(err, finishErr)
	}
	r.failovers, r.ends = j.failovers(written), w.ends.counts()
	r.verdict = j.Check(history.Config{ReadAhead: readAhead})
	return err
}

// harm injects the plan and returns when all faults have ended.
func (r *result) harm(ctx context.Context, cfg config, w *world) {
	var all sync.WaitGroup
	began := time.Now()
	for n := range r.plan {
		i := &r.plan[n]
		all.Go(func() {
			if i.err = pause(ctx, time.Until(began.Add(i.at))); i.err != nil {
				return
			}
			w.areas[i.kind.area].Lock()
			defer w.areas[i.kind.area].Unlock()
			i.took, i.err = i.kind.inject(w, ctx, i)
			if i.kind.area == process && i.err == nil {
				// The next one finds a relay at work.
				i.err = pause(ctx, leaseTTL)
			}
		})
	}
	all.Go(func() { _ = pause(ctx, cfg.active) })
	all.Wait()
}

// drain waits until nothing is pending.
func (r *result) drain(ctx context.Context, cfg config, w *world) error {
	began := time.Now()
	ctx, cancel := context.WithTimeoutCause(ctx, cfg.drain, fmt.Errorf("not drained after %s", cfg.drain))
	defer cancel()
	for {
		var pending int
		err := w.pool.QueryRow(ctx, pendingSQL).Scan(&pending)
		if err == nil && pending == 0 {
			r.drained = time.Since(began)
			return nil
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
}

// keep writes what helps to understand a failed run beside its log.
func (r *result) keep(j *journal) error {
	text := planText(r.plan) + "\n"
	if r.verdict != nil {
		text += r.verdict.String()
	}
	if err := os.WriteFile(filepath.Join(r.logs, "verdict.txt"), []byte(text), 0o600); err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(r.logs, "trace.jsonl"))
	if err != nil {
		return err
	}
	return errors.Join(j.trace(f), f.Close())
}
