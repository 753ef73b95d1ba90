//go:build unix

// Package failpoints runs the compiled relay against a real PostgreSQL and the AWS fake, once for each step of its
// work and each fault, does the fault at that step a few times, and lets a checker judge the history. Its report is
// OK only when every step was reached and every run delivered everything, in order, and sent nothing twice without a
// cause.
package failpoints

import (
	"context"
	"errors"
	"io"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/campaign"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/failpoint"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/pgserver"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/rig"
)

// Campaign returns the campaign "failpoints" for the command campaign.
func Campaign() campaign.Campaign {
	return campaign.Campaign{
		Name: "failpoints", About: "the compiled relay, stopped at each step of its work by each fault",
		Declare: func(f *campaign.Flags) campaign.Run {
			var c config
			c.declare(f)
			return func(ctx context.Context, out io.Writer) (campaign.Report, error) {
				results, err := c.run(ctx, out)
				return table(results), err
			}
		},
	}
}

// config is what the command line says.
type config struct {
	steps           []failpoint.Step
	faults          []failpoint.Fault
	times, parallel int
	seed            uint64
	logs            string
}

func (c *config) declare(f *campaign.Flags) {
	campaign.Pick(f, &c.steps, "steps", failpoint.Steps())
	campaign.Pick(f, &c.faults, "faults", failpoint.Faults())
	f.Int(&c.times, "times", 3, 1, "how often a fault happens in its run")
	f.Parallel(&c.parallel, 4)
	f.Seed(&c.seed)
	f.Logs(&c.logs)
}

// nth returns n for a step: the fault happens every n-th time that a process passes the step. It is greater for
// steps that a relay passes many times a second, so that the relay is well at work at the first fault.
func nth(s failpoint.Step) int {
	switch s {
	case failpoint.BeforeFetch, failpoint.Fetched, failpoint.BeforeSend, failpoint.Sent, failpoint.Answered, failpoint.Accepted:
		return 25
	case failpoint.BeforeSettle, failpoint.Settled, failpoint.Marked:
		return 12
	case failpoint.BeforeRenew, failpoint.Renewed:
		return 3
	case failpoint.BeforeJoin, failpoint.Joined:
		return 2
	case failpoint.LeaseTaken, failpoint.BeforeHandOver, failpoint.HandedOver, failpoint.BeforeLeave, failpoint.Left:
	}
	return 1
}

// run makes a run for each chosen step and each chosen fault that can happen there, c.parallel of them at a
// time: a step that is no call of the database or a sink has no failed or lost answer. A line about each run
// goes to out.
func (c *config) run(ctx context.Context, out io.Writer) (_ []*result, err error) {
	program, err := rig.Build(ctx, rig.Tuned)
	if err != nil {
		return nil, err
	}
	server, err := pgserver.Start(ctx, pgserver.Config{})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	var pairs []result
	for _, s := range c.steps {
		for _, f := range c.faults {
			if s.IsCall() || f == failpoint.Kill || f == failpoint.Freeze {
				pairs = append(pairs, result{step: s, fault: f})
			}
		}
	}
	return campaign.Runs(ctx, len(pairs), c.parallel, out, func(ctx context.Context, _, number int) (*result, error) {
		r := &pairs[number]
		r.play(ctx, c, program, server)
		return r, nil
	})
}
