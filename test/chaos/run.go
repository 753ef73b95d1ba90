//go:build unix

package chaos

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/failpoint"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/pgserver"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/rig"
)

// result is what became of the run of one seed.
type result struct {
	*rig.Outcome
	seed uint64
	plan []injection
	// failovers has the time from each kill -9 to the next acceptance, for kills with no other fault near.
	failovers []time.Duration
	// again has the arguments of the campaign command that repeat the run, with the same plan.
	again string
}

// ok reports whether every planned fault was injected and no promise was broken.
func (r *result) ok() bool {
	return r.OK() && !slices.ContainsFunc(r.plan, func(i injection) bool { return i.err != nil })
}

// play makes the run of one seed on the server, judges its history and returns the result. Errors of the run
// are in the result.
func (c *config) play(ctx context.Context, p rig.Program, server *pgserver.Server, seed uint64) *result {
	r := &result{seed: seed, plan: makePlan(seed, c.kinds, c.active), again: c.again(seed)}
	j := rig.NewJournal(c.tamper)
	var kills []time.Time
	r.Outcome = rig.Experiment{
		Config: rig.Config{Program: p, Server: server, Name: fmt.Sprintf("chaos-%d", seed), Journal: j},
		Logs:   c.logs, Seed: seed, DrainWithin: c.drain,
		// No fault: the relay only records which outcomes it sees as unknown.
		Plan: &failpoint.Plan{},
		Do: func(ctx context.Context, opened *rig.World, _ rig.Ledger) error {
			w := &world{World: opened, server: server}
			r.harm(ctx, c.active, w)
			kills = w.kills
			return nil
		},
	}.Play(ctx)
	for _, kill := range kills {
		if took, alone := j.FirstAcceptance(kill, r.Written); alone {
			r.failovers = append(r.failovers, took)
		}
	}
	r.Close(r.ok(), planText(r.plan)+"\n")
	return r
}

// harm injects the faults of the plan, each at its time or when the one before it in its area has ended, and
// returns when all have ended and at least the time active is over. Errors are kept in the plan.
func (r *result) harm(ctx context.Context, active time.Duration, w *world) {
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
				// The next fault of a process finds a relay at work.
				i.err = rig.Pause(ctx, rig.LeaseTTL)
			}
		})
	}
	all.Go(func() { _ = rig.Pause(ctx, active) })
	all.Wait()
}
