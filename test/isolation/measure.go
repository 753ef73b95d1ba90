//go:build unix

package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/history"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/lambdahost"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/pgserver"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/rig"
)

//go:embed lagging.sql
var laggingSQL string

// quietWithin is how long what a fault held up may take to be delivered.
const quietWithin = 2 * time.Minute

// played is one phase of the measurement, with the calm ones around it.
type played struct {
	fault  string
	number int
}

// measure makes both runs: one relay for the phases, and many for hand-overs
// and kills.
func measure(ctx context.Context, cfg config, out io.Writer) (_ *report, err error) {
	program, err := rig.Build(ctx, rig.Deployed)
	if err != nil {
		return nil, err
	}
	tuned, err := rig.Build(ctx, rig.Tuned)
	if err != nil {
		return nil, err
	}
	server, err := pgserver.Start(ctx, pgserver.Config{})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	r := &report{cfg: cfg, machine: loadAverage()}
	// Everything but the length of an invocation is as deployed.
	err = r.run(ctx, program, server, "isolation_phases", rig.Config{
		Timeout: time.Hour,
		Env:     map[string]string{"OUTBOX_IDLE_EXIT": ""},
	}, func(ctx context.Context, l *load) error { return r.phases(ctx, l, out) })
	if err != nil {
		return nil, fmt.Errorf("phases: %w", err)
	}
	if cfg.handOvers > 0 || cfg.kills > 0 {
		err = r.run(ctx, tuned, server, "isolation_hand_overs", rig.Config{}, func(ctx context.Context, l *load) error {
			return r.successions(ctx, l, out)
		})
		if err != nil {
			return nil, fmt.Errorf("hand-overs: %w", err)
		}
	}
	r.machine += " to " + loadAverage()
	return r, nil
}

// run opens a world, lets the load and the relay work while f does, and judges
// the history.
func (r *report) run(ctx context.Context, p rig.Program, server *pgserver.Server, name string, c rig.Config, f func(context.Context, *load) error) (err error) {
	j, m := rig.NewJournal(nil), newMeter()
	j.Watch = m.accepted
	folder, err := os.MkdirTemp("", "isolation-")
	if err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(folder, "relay.log"))
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, log.Close())
		if err != nil {
			err = fmt.Errorf("%w; the relay's log is in %s", err, folder)
			return
		}
		err = os.RemoveAll(folder)
	}()
	c.Program, c.Server, c.Name, c.Journal, c.Log, c.MaxConns = p, server, name, j, log, writers+6
	w, err := rig.Open(ctx, c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	working, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	ticking, stopTicks := context.WithCancel(ctx)
	defer stopTicks()
	var background, writing sync.WaitGroup
	if c.Timeout > 0 {
		// One relay for all of it.
		if _, err = w.Function.InvokeAsync(ctx, lambdahost.SchedulerInput(lambdahost.Tick{ScheduledTime: time.Now()})); err != nil {
			return err
		}
	} else {
		background.Go(func() { lambdahost.Schedule{Every: rig.Tick}.Run(ticking, w.Function) })
	}
	l := &load{cfg: r.cfg, world: w, meter: m}
	writing.Go(func() {
		if loadErr := l.run(working); loadErr != nil && working.Err() == nil {
			stop(fmt.Errorf("write: %w", loadErr))
		}
	})
	err = f(working, l)
	stop(nil)
	writing.Wait()
	draining, done := context.WithTimeoutCause(ctx, quietWithin, fmt.Errorf("not drained after %s", quietWithin))
	defer done()
	err = errors.Join(err, w.Drain(draining))
	stopTicks()
	background.Wait()
	if c.Timeout == 0 {
		err = errors.Join(err, w.Rest(context.WithoutCancel(ctx)))
	} else if owner := w.Owner(ctx); owner != "" {
		// It would go on for an hour. All is marked, so nothing is sent again.
		err = errors.Join(err, w.Function.Kill(owner), w.Rest(context.WithoutCancel(ctx)))
	}
	if err != nil {
		return err
	}
	if err = j.Finish(ctx, w.Pool); err != nil {
		return err
	}
	r.verdicts = append(r.verdicts, j.Check(history.Config{ReadAhead: rig.ReadAhead}))
	return nil
}

// phases alternates calm and faults.
func (r *report) phases(ctx context.Context, l *load, out io.Writer) error {
	r.meter = l.meter
	arn := l.world.Outputs.Destinations[rig.Audit]
	all := faults(arn[strings.LastIndexByte(arn, ':')+1:])
	calm := fault{name: "calm"}
	play := func(f *fault) error {
		number := l.meter.next()
		if err := l.play(ctx, f, r.cfg.phase); err != nil {
			return err
		}
		r.played = append(r.played, played{f.name, number})
		l.meter.next() // What comes until all is delivered belongs to nobody.
		if err := l.caughtUp(ctx); err != nil {
			return err
		}
		times := l.meter.of(number)
		_, _ = fmt.Fprintf(out, "%-10s p50 %6.1f ms, p99 %6.1f ms of %d events\n", f.name, milliseconds(quantile(times, 0.5)), milliseconds(quantile(times, 0.99)), len(times))
		return nil
	}
	if err := play(&fault{name: "warm-up"}); err != nil {
		return err
	}
	if err := play(&calm); err != nil {
		return err
	}
	for range r.cfg.rounds {
		for i := range all {
			if !slices.Contains(r.cfg.faults, all[i].name) {
				continue
			}
			if err := errors.Join(play(&all[i]), play(&calm)); err != nil {
				return err
			}
		}
	}
	return nil
}

// caughtUp waits until nothing lags behind.
func (l *load) caughtUp(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, quietWithin, fmt.Errorf("not caught up after %s", quietWithin))
	defer cancel()
	for {
		var lagging int
		if err := l.world.Pool.QueryRow(ctx, laggingSQL).Scan(&lagging); err != nil {
			return fmt.Errorf("count what lags: %w", err)
		}
		if lagging == 0 {
			return rig.Pause(ctx, 300*time.Millisecond)
		}
		if err := rig.Pause(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
}
