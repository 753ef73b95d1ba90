//go:build unix

package rig

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/failpoint"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/history"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/lambdahost"
)

// Experiment is one run of a world: writers write and the relay works while Do causes
// faults; then the relay must send all that is pending, and the history is judged.
type Experiment struct {
	// Config describes the world. Play sets Log to a file, appends the time to Name and turns its hyphens into
	// underscores, sets Journal to an empty one when it is nil, and adds the plan to Env.
	Config
	// Logs is the folder, which must exist, in which the run makes a folder of its own for
	// its logs. Empty is the system's folder for temporary files.
	Logs string
	// Write writes until stop is closed; an error ends the run. Defaults to [World.Write] with Seed.
	Write func(ctx context.Context, w *World, stop <-chan struct{}) error
	// Seed decides what World.Write writes. Unused when Write is set.
	Seed uint64
	// Plan is what the relay's failpoints do, for the program [Tuned]. Its Ledger is ignored:
	// the run makes a folder for the records. Nil sets no plan.
	Plan *failpoint.Plan
	// OneRelay invokes the function once, instead of every [Tick], and kills it when no
	// event is pending any more. Config.Timeout must outlast the run.
	OneRelay bool
	// Do causes the faults, while writers and relay work. Required. Writing stops when Do returns. ledger is the
	// folder where Plan records, empty without a plan.
	Do func(ctx context.Context, w *World, ledger Ledger) error
	// DrainWithin is how long it may take, once writing has stopped, until no event is pending. Required.
	DrainWithin time.Duration
}

// Play makes the run and waits for its end. Errors are in the outcome, which is never nil.
func (e Experiment) Play(ctx context.Context) *Outcome {
	began := time.Now()
	if e.Journal == nil {
		e.Journal = NewJournal(nil)
	}
	if e.Write == nil {
		e.Write = func(ctx context.Context, w *World, stop <-chan struct{}) error { return w.Write(ctx, e.Seed, stop) }
	}
	o := &Outcome{journal: e.Journal}
	if o.Logs, o.Err = os.MkdirTemp(e.Logs, e.Name+"-"); o.Err == nil {
		o.Err = e.play(ctx, o)
	}
	o.Took = time.Since(began)
	return o
}

// play makes the run with its logs in o.Logs, and sets o's times, Ends and Verdict. A history is judged also when the
// faults, the delivery or the end of the function failed.
func (e Experiment) play(ctx context.Context, o *Outcome) (err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	log, err := os.Create(filepath.Join(o.Logs, "relay.log"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	ledger, err := e.equip(o.Logs)
	if err != nil {
		return err
	}
	e.Log, e.Name = log, fmt.Sprintf("%s_%d", strings.ReplaceAll(e.Name, "-", "_"), time.Now().UnixNano())
	w, err := Open(ctx, e.Config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	ticking, stopTicks := context.WithCancel(ctx)
	defer stopTicks()
	var background, writing sync.WaitGroup
	if e.OneRelay {
		if _, err = w.Function.InvokeAsync(ctx, lambdahost.SchedulerInput(time.Now())); err != nil {
			return err
		}
	} else {
		background.Go(func() { lambdahost.Schedule(ticking, Tick, w.Function) })
	}
	stop := make(chan struct{})
	writing.Go(func() {
		if writeErr := e.Write(ctx, w, stop); writeErr != nil {
			cancel(fmt.Errorf("write: %w", writeErr))
		}
	})
	err = e.Do(ctx, w, ledger)
	close(stop)
	o.Written = time.Now()
	writing.Wait()
	draining, done := context.WithTimeoutCause(ctx, e.DrainWithin, fmt.Errorf("not drained after %s", e.DrainWithin))
	defer done()
	began := time.Now()
	err = errors.Join(err, w.Drain(draining))
	o.Drained = time.Since(began)
	stopTicks()
	background.Wait()
	if owner := w.Owner(ctx); e.OneRelay && owner != "" {
		// Everything is marked, so nothing is sent again.
		err = errors.Join(err, w.Function.Kill(owner))
	}
	err = errors.Join(err, w.Rest(context.WithoutCancel(ctx)))
	// Judged also when something did not end in time: the verdict says more.
	if judgeErr := o.judge(context.WithoutCancel(ctx), w, ledger); judgeErr != nil {
		return errors.Join(err, judgeErr)
	}
	return err
}

// equip makes the folder where the plan records, below logs, adds the plan to e.Env, and returns the folder. Without
// a plan it does nothing and returns "".
func (e *Experiment) equip(logs string) (Ledger, error) {
	if e.Plan == nil {
		return "", nil
	}
	ledger := filepath.Join(logs, "ledger")
	if err := os.Mkdir(ledger, 0o750); err != nil {
		return "", err
	}
	env, err := Ledger(ledger).Env(e.Plan)
	maps.Copy(env, e.Env)
	e.Env = env
	return Ledger(ledger), err
}

// judge adds to the history what is known only at the end of a run (final states, unknown outcomes, what the faults
// explain), and sets o.Ends and o.Verdict. An empty ledger has no unknown outcomes.
func (o *Outcome) judge(ctx context.Context, w *World, ledger Ledger) error {
	if ledger != "" {
		if err := ledger.Record(o.journal.Recorder); err != nil {
			return err
		}
	}
	if err := o.journal.Finish(ctx, w.Pool); err != nil {
		return err
	}
	o.Ends = w.Ends()
	o.Verdict = o.journal.Check(history.Config{ReadAhead: ReadAhead})
	return nil
}
