//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/history"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/lambdahost"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/pgserver"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/rig"
)

// result is what became of a run.
type result struct {
	seed      uint64
	plan      []injection
	took      time.Duration
	drained   time.Duration
	verdict   *history.Verdict
	failovers []time.Duration
	ends      rig.Ends
	logs      string
	// again are the flags that make the same plan.
	again string
	err   error
}

// ok says that the run took place as planned and that nothing was broken.
func (r *result) ok() bool {
	if r.err != nil || r.verdict == nil || !r.verdict.OK() || r.ends.Overran > 0 {
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
func play(ctx context.Context, cfg config, p rig.Program, server *pgserver.Server, seed uint64) result {
	began := time.Now()
	r := result{seed: seed, plan: makePlan(seed, cfg.kinds, cfg.active), again: cfg.again(seed)}
	if r.logs, r.err = os.MkdirTemp(cfg.logs, fmt.Sprintf("chaos-%d-", seed)); r.err != nil {
		return r
	}
	log, err := os.Create(filepath.Join(r.logs, "relay.log"))
	if err != nil {
		r.err = err
		return r
	}
	j := rig.NewJournal(cfg.tamper)
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

func (r *result) play(ctx context.Context, cfg config, p rig.Program, server *pgserver.Server, j *rig.Journal, log *os.File) (err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	opened, err := rig.Open(ctx, rig.Config{Program: p, Server: server, Name: fmt.Sprintf("chaos_%d_%d", r.seed, time.Now().UnixNano()), Journal: j, Log: log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, opened.Close()) }()
	w := &world{World: opened}
	ticking, stopTicks := context.WithCancel(ctx)
	defer stopTicks()
	var background, writing sync.WaitGroup
	background.Go(func() { lambdahost.Schedule{Every: rig.Tick}.Run(ticking, w.Function) })
	stop := make(chan struct{})
	writing.Go(func() {
		if writeErr := w.Write(ctx, r.seed, stop); writeErr != nil {
			cancel(writeErr)
		}
	})
	r.harm(ctx, cfg, w)
	close(stop)
	written := time.Now()
	writing.Wait()
	err = r.drain(ctx, cfg, w)
	stopTicks()
	background.Wait()
	if err = errors.Join(err, w.Rest(context.WithoutCancel(ctx))); err != nil {
		// Judged all the same: what is missing says more than a timeout.
		err = fmt.Errorf("come to rest: %w", err)
	}
	if finishErr := j.Finish(context.WithoutCancel(ctx), w.Pool); finishErr != nil {
		return errors.Join(err, finishErr)
	}
	for _, kill := range w.kills {
		if took, alone := j.FirstAcceptance(kill, written); alone {
			r.failovers = append(r.failovers, took)
		}
	}
	r.ends = w.Ends()
	r.verdict = j.Check(history.Config{ReadAhead: rig.ReadAhead})
	return err
}

// harm injects the plan and returns when all faults have ended.
func (r *result) harm(ctx context.Context, cfg config, w *world) {
	var all sync.WaitGroup
	began := time.Now()
	for n := range r.plan {
		i := &r.plan[n]
		all.Go(func() {
			if i.err = rig.Pause(ctx, time.Until(began.Add(i.at))); i.err != nil {
				return
			}
			w.areas[i.kind.area].Lock()
			defer w.areas[i.kind.area].Unlock()
			i.took, i.err = i.kind.inject(w, ctx, i)
			if i.kind.area == process && i.err == nil {
				// The next one finds a relay at work.
				i.err = rig.Pause(ctx, rig.LeaseTTL)
			}
		})
	}
	all.Go(func() { _ = rig.Pause(ctx, cfg.active) })
	all.Wait()
}

// drain waits until nothing is pending.
func (r *result) drain(ctx context.Context, cfg config, w *world) error {
	began := time.Now()
	ctx, cancel := context.WithTimeoutCause(ctx, cfg.drain, fmt.Errorf("not drained after %s", cfg.drain))
	defer cancel()
	err := w.Drain(ctx)
	r.drained = time.Since(began)
	return err
}

// keep writes what helps to understand a failed run beside its log.
func (r *result) keep(j *rig.Journal) error {
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
	return errors.Join(j.Trace(f), f.Close())
}
