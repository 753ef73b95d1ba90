//go:build unix

package isolation

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/campaign"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/failpoint"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/pgserver"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/rig"
)

//go:embed lagging.sql
var laggingSQL string

// unsentWithin is how long, after a phase at a low rate and before its fault ends, events of quiet aggregates have to be
// accepted: a call without an answer takes two seconds, and its events are sent again then.
const unsentWithin = 5 * time.Second

// quietWithin is the longest time for which delayed events are waited for after a phase, after a kill, and at
// the end of a run.
const quietWithin = 2 * time.Minute

// played is one phase that was measured: the name of its fault, "calm" or "warm-up" for a phase without one,
// and its number in the meter.
type played struct {
	fault  string
	number int
}

// measure builds the relay, starts PostgreSQL and makes two runs: one relay for the phases with and without
// faults, and then, unless both are turned off, many relays for hand-overs and kills. It prints progress to
// out.
func measure(ctx context.Context, cfg config, out io.Writer) (_ *report, err error) {
	program, err := rig.Build(ctx, rig.Tuned)
	if err != nil {
		return nil, err
	}
	server, err := pgserver.Start(ctx, pgserver.Config{})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	r := &report{cfg: cfg, machine: loadAverage(), meter: newMeter(), unsent: map[string]int{}}
	for _, low := range []bool{false, true} {
		played := slices.DeleteFunc(faults(""), func(f fault) bool { return f.low != low || !slices.Contains(cfg.faults, f.name) })
		if len(played) == 0 {
			continue
		}
		// Everything but the length of an invocation is as deployed.
		err = r.run(ctx, rig.Config{
			Program: program, Server: server, Name: "isolation-phases", Timeout: time.Hour,
			AsDeployed: true, Env: map[string]string{"OUTBOX_IDLE_EXIT": ""},
		}, &load{cfg: cfg, meter: r.meter, low: low}, func(ctx context.Context, l *load) error { return r.phases(ctx, l, out) })
		if err != nil {
			return nil, fmt.Errorf("phases: %w", err)
		}
	}
	if cfg.handOvers > 0 || cfg.kills > 0 {
		err = r.run(ctx, rig.Config{Program: program, Server: server, Name: "isolation-hand-overs"}, &load{cfg: cfg, meter: newMeter()}, func(ctx context.Context, l *load) error {
			return r.successions(ctx, l, out)
		})
		if err != nil {
			return nil, fmt.Errorf("hand-overs: %w", err)
		}
	}
	r.machine += " to " + loadAverage()
	return r, nil
}

// run makes a run of the given configuration in which l and the relay work until f returns, and adds the verdict
// on its history to r.verdicts. It fails when the run could not be made, not when the history is out of order.
func (r *report) run(ctx context.Context, c rig.Config, l *load, f func(context.Context, *load) error) error {
	c.Journal, c.MaxConns = rig.NewJournal(nil), writers+6
	c.Journal.Watch = l.meter.accepted
	o := rig.Experiment{
		Config: c, Logs: r.cfg.logs, OneRelay: c.Timeout > 0, DrainWithin: quietWithin,
		// No fault: the relay only records which outcomes it sees as unknown.
		Plan:  &failpoint.Plan{},
		Write: l.run,
		Do: func(ctx context.Context, w *rig.World, _ rig.Ledger) error {
			l.world = w
			return f(ctx, l)
		},
	}.Play(ctx)
	o.Close(o.OK(), "")
	if o.Err != nil {
		return fmt.Errorf("%w; the relay's log is in %s", o.Err, o.Logs)
	}
	r.verdicts = append(r.verdicts, o.Verdict)
	return nil
}

// phases plays a warm-up, a calm phase and then, for each round and each chosen fault of the run, a phase with the
// fault and a calm one. Between phases it waits until the load has caught up. It prints the latencies of each phase to
// out.
func (r *report) phases(ctx context.Context, l *load, out io.Writer) error {
	arn := l.world.Outputs.Destinations[rig.Audit]
	all := faults(arn[strings.LastIndexByte(arn, ':')+1:])
	calm, rounds := fault{name: "calm"}, r.cfg.rounds
	if l.low {
		rounds = r.cfg.lowRounds
	}
	play := func(f *fault) error {
		length := r.cfg.phase
		switch {
		case f.low:
			length = length * 3 / 2 // Fewer events a second need more time.
		case l.low:
			length = length * 3 / 4 // All calm phases count together.
		}
		number := l.meter.phase + 1
		unsent, err := l.play(ctx, f, length)
		if err != nil {
			return err
		}
		r.unsent[f.name] += unsent
		r.played = append(r.played, played{f.name, number})
		if err := l.caughtUp(ctx); err != nil {
			return err
		}
		times := l.meter.of(number)
		_, _ = fmt.Fprintf(out, "%-13s p50 %6.1f ms, p99 %6.1f ms of %d events\n", f.name, milliseconds(campaign.Quantile(times, 0.5)), milliseconds(campaign.Quantile(times, 0.99)), len(times))
		return nil
	}
	if err := play(&fault{name: "warm-up"}); err != nil {
		return err
	}
	if err := play(&calm); err != nil {
		return err
	}
	for range rounds {
		for i := range all {
			if all[i].low != l.low || !slices.Contains(r.cfg.faults, all[i].name) {
				continue
			}
			if err := errors.Join(play(&all[i]), play(&calm)); err != nil {
				return err
			}
		}
	}
	return nil
}

// caughtUp waits until no unsent event is older than 500 ms, and then 300 ms more. It fails after quietWithin.
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
