//go:build unix

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/google/uuid"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/failpoint"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/history"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/lambdahost"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/pgserver"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/rig"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/tuning"
)

const (
	// frozenFor is how long a process stands still: another relay takes its
	// shards over meanwhile.
	frozenFor = rig.LeaseTTL + 800*time.Millisecond
	// patience is how long a run waits for its fault to have happened.
	patience = 40 * time.Second
	// settleEvery keeps accepted and marked apart, so that there is time to be
	// stopped in between.
	settleEvery = 30 * time.Millisecond
	drainWithin = 30 * time.Second
)

// result is what became of a run.
type result struct {
	step    failpoint.Step
	fault   failpoint.Fault
	hits    int
	took    time.Duration
	verdict *history.Verdict
	ends    rig.Ends
	logs    string
	err     error
}

// ok says that the fault happened and that nothing was broken.
func (r *result) ok() bool {
	return r.err == nil && r.hits > 0 && r.verdict != nil && r.verdict.OK() && r.ends.Overran == 0 && r.misplaced() == ""
}

// misplaced says why the fault did not happen where it was meant to: a relay
// that dies with an acceptance that is not marked sends the event again.
func (r *result) misplaced() string {
	if r.verdict == nil {
		return ""
	}
	unmarked := r.step == failpoint.Answered || r.step == failpoint.Accepted || r.step == failpoint.BeforeSettle
	if unmarked && r.fault == failpoint.Kill && r.verdict.DuplicatesWithCause == 0 {
		return "nothing was sent again, so the relay was not stopped there"
	}
	return ""
}

// effect is what the fault at the step may explain.
func (r *result) effect() rig.Effect {
	switch r.fault {
	case failpoint.Kill:
		return rig.Unsettled
	case failpoint.Freeze:
		return rig.Frozen
	case failpoint.Fail, failpoint.Lose:
	}
	// What an error or a lost answer leaves unknown, the relay tells itself.
	return rig.Harmless
}

// make makes the run. The logs of one that is OK are removed.
func (r *result) make(ctx context.Context, cfg config, p rig.Program, server *pgserver.Server) {
	began := time.Now()
	if r.logs, r.err = os.MkdirTemp(cfg.logs, fmt.Sprintf("failpoint-%s-%s-", r.step, r.fault)); r.err != nil {
		return
	}
	j := rig.NewJournal(nil)
	r.err = r.play(ctx, cfg, p, server, j)
	r.took = time.Since(began)
	if r.ok() {
		r.err = os.RemoveAll(r.logs)
		return
	}
	trace, err := os.Create(filepath.Join(r.logs, "trace.jsonl"))
	if err == nil {
		err = errors.Join(j.Trace(trace), trace.Close())
	}
	r.err = errors.Join(r.err, err)
}

func (r *result) play(ctx context.Context, cfg config, p rig.Program, server *pgserver.Server, j *rig.Journal) (err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	log, err := os.Create(filepath.Join(r.logs, "relay.log"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	ledger := filepath.Join(r.logs, "ledger")
	if err = os.Mkdir(ledger, 0o750); err != nil {
		return err
	}
	plan, err := json.Marshal(map[string]any{"step": r.step, "fault": r.fault, "nth": nth(r.step), "times": cfg.times, "ledger": ledger})
	if err != nil {
		return err
	}
	w, err := rig.Open(ctx, rig.Config{
		Program: p, Server: server, Name: fmt.Sprintf("failpoint_%s_%s_%d", r.step, r.fault, time.Now().UnixNano()), Journal: j, Log: log,
		Env: map[string]string{"OUTBOX_TEST_FAILPOINT": string(plan)}, Tuning: tuning.Tuning{SettleEvery: settleEvery},
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	ticking, stopTicks := context.WithCancel(ctx)
	defer stopTicks()
	var background, writing sync.WaitGroup
	background.Go(func() { lambdahost.Schedule{Every: rig.Tick}.Run(ticking, w.Function) })
	stop := make(chan struct{})
	writing.Go(func() {
		if writeErr := w.Write(ctx, cfg.seed, stop); writeErr != nil {
			cancel(writeErr)
		}
	})
	err = r.watch(ctx, cfg, w, ledger)
	close(stop)
	writing.Wait()
	draining, done := context.WithTimeoutCause(ctx, drainWithin, fmt.Errorf("not drained after %s", drainWithin))
	defer done()
	err = errors.Join(err, w.Drain(draining))
	stopTicks()
	background.Wait()
	err = errors.Join(err, w.Rest(context.WithoutCancel(ctx)))
	if tellErr := unanswered(j, ledger); tellErr != nil {
		return errors.Join(err, tellErr)
	}
	if finishErr := j.Finish(context.WithoutCancel(ctx), w.Pool); finishErr != nil {
		return errors.Join(err, finishErr)
	}
	r.ends = w.Ends()
	r.verdict = j.Check(history.Config{ReadAhead: rig.ReadAhead})
	return err
}

// unanswered gives each event whose outcome a relay saw as unknown its cause,
// also where only the machine was too slow to answer in time.
func unanswered(j *rig.Journal, ledger string) error {
	all, err := failpoint.AllUnanswered(ledger)
	if err != nil {
		return err
	}
	for _, u := range all {
		c := history.Cause{Kind: history.UnknownOutcome, At: u.At}
		for _, id := range u.DeduplicationIDs {
			event, err := uuid.Parse(id)
			if err != nil {
				return fmt.Errorf("deduplication id %q: %w", id, err)
			}
			c.Events = append(c.Events, event)
		}
		j.Cause(c)
	}
	return nil
}

// watch waits until the fault has happened as often as it is to, and for what
// comes right after it. It lets frozen processes go on.
func (r *result) watch(ctx context.Context, cfg config, w *rig.World, ledger string) error {
	var thawing sync.WaitGroup
	defer thawing.Wait()
	for began := time.Now(); r.hits < cfg.times && time.Since(began) < patience; {
		hits, err := failpoint.Hits(ledger)
		if err != nil {
			return err
		}
		for _, h := range hits[r.hits:] {
			thawing.Go(func() { r.happened(ctx, w, h) })
		}
		r.hits = len(hits)
		if err := rig.Pause(ctx, 5*time.Millisecond); err != nil {
			return err
		}
	}
	thawing.Wait()
	return rig.Pause(ctx, 2*rig.Tick)
}

// happened notes a fault, for as long as it is in effect.
func (r *result) happened(ctx context.Context, w *rig.World, h failpoint.Hit) {
	until := h.At
	switch r.fault {
	case failpoint.Kill, failpoint.Fail:
	case failpoint.Lose:
		until = h.At.Add(rig.SendTimeout)
	case failpoint.Freeze:
		for _, running := range w.Function.Running() {
			if running.PID == h.PID {
				w.WillFreeze(running.RequestID)
			}
		}
		_ = rig.Pause(ctx, frozenFor)            // It goes on in any case.
		_ = syscall.Kill(h.PID, syscall.SIGCONT) // It may have met its deadline.
		until = time.Now()
	}
	w.Journal.Excuse(fmt.Sprintf("%s at %s", r.fault, r.step), r.effect(), h.At, until)
}
