//go:build unix

package failpoints

import (
	"context"
	"fmt"
	"sync"
	"syscall"
	"time"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/failpoint"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/pgserver"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/rig"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/tuning"
)

const (
	// frozenFor is how long a process stands still: long enough for another relay to
	// take over its shards.
	frozenFor = rig.LeaseTTL + 800*time.Millisecond
	// patience is how long a run waits for its fault to happen as often as the command line says.
	patience = 2 * time.Minute
	// settleEvery is the relay's pause between settlements. It keeps the acceptance
	// and the mark of an event apart, so that a fault can fall between the two.
	settleEvery = 30 * time.Millisecond
	drainWithin = time.Minute
)

// result is what became of the run of one step and one fault.
type result struct {
	*rig.Outcome
	step  failpoint.Step
	fault failpoint.Fault
	// hits is how often the fault happened.
	hits int
}

// ok reports whether the fault happened at its step at least once and no promise was broken.
func (r *result) ok() bool { return r.OK() && r.hits > 0 && r.misplaced() == "" }

// misplaced returns why the fault cannot have happened at its step, "" when nothing speaks against it. It knows
// one case only: a relay killed between an acceptance and the mark of the event as sent makes the next relay
// send the event again, so a run without such a resend was stopped elsewhere.
func (r *result) misplaced() string {
	if r.Verdict == nil {
		return ""
	}
	unmarked := r.step == failpoint.Answered || r.step == failpoint.Accepted || r.step == failpoint.BeforeSettle
	if unmarked && r.fault == failpoint.Kill && r.Verdict.DuplicatesWithCause == 0 {
		return "nothing was sent again, so the relay was not stopped there"
	}
	return ""
}

// effect returns which resends the fault explains. Harmless is for errors and lost answers, since the
// failpoints record the resends after these themselves.
func (r *result) effect() rig.Effect {
	switch r.fault {
	case failpoint.Kill:
		return rig.Unsettled
	case failpoint.Freeze:
		return rig.Frozen
	case failpoint.Fail, failpoint.Lose:
	}
	return rig.Harmless
}

// play makes the run, judges its history and keeps the outcome and the number of faults in r.
func (r *result) play(ctx context.Context, c *config, p rig.Program, server *pgserver.Server) {
	r.Outcome = rig.Experiment{
		Config: rig.Config{
			Program: p, Server: server, Name: fmt.Sprintf("failpoint-%s-%s", r.step, r.fault),
			Tuning: tuning.Tuning{SettleEvery: settleEvery},
		},
		Logs: c.logs, Seed: c.seed, DrainWithin: drainWithin,
		Plan: &failpoint.Plan{Step: r.step, Fault: r.fault, Nth: nth(r.step), Times: c.times},
		Do: func(ctx context.Context, w *rig.World, ledger rig.Ledger) error {
			return r.watch(ctx, c.times, w, ledger)
		},
	}.Play(ctx)
	r.Close(r.ok(), "")
}

// watch reads from the ledger how often the fault has happened, and counts it in r.hits. It returns two ticks after
// the fault has happened the given number of times, or patience is over. It wakes frozen processes.
func (r *result) watch(ctx context.Context, times int, w *rig.World, ledger rig.Ledger) error {
	var thawing sync.WaitGroup
	defer thawing.Wait()
	for began := time.Now(); r.hits < times && time.Since(began) < patience; {
		hits, err := failpoint.Hits(string(ledger))
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

// happened records in the journal when the fault h was in effect. For a freeze it first waits frozenFor and
// then wakes the process.
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
		_ = rig.Pause(ctx, frozenFor)            // The process goes on in any case.
		_ = syscall.Kill(h.PID, syscall.SIGCONT) // The process may have met its deadline.
		until = time.Now()
	}
	w.Journal.Excuse(fmt.Sprintf("%s at %s", r.fault, r.step), r.effect(), h.At, until)
}
