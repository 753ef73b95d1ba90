//go:build unix

// Package chaos runs the compiled relay against a real PostgreSQL and the AWS fake,
// does harm to all of them by a plan that a seed decides, and lets a checker judge
// the history of each run. Its report is OK only when every run delivered
// everything, in order, and sent nothing twice without a cause.
package chaos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/campaign"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/pgserver"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/rig"
)

// Campaign returns the campaign "chaos" for the command campaign.
func Campaign() campaign.Campaign {
	return campaign.Campaign{
		Name: "chaos", About: "the compiled relay among faults of its process, PostgreSQL, SNS and SQS",
		Declare: func(f *campaign.Flags) campaign.Run {
			var c config
			c.declare(f)
			return func(ctx context.Context, out io.Writer) (campaign.Report, error) {
				results, err := c.run(ctx, out)
				return summarise(results).report(), err
			}
		},
	}
}

// config is what the command line says.
type config struct {
	runs, parallel int
	seed           uint64
	kinds          []string
	active, drain  time.Duration
	logs           string
	// tamper falsifies the record of the run, to test that the checker sees it. Nil leaves the record as it is.
	tamper rig.Tamper
}

func (c *config) declare(f *campaign.Flags) {
	f.Int(&c.runs, "runs", 20, 1, "how many runs")
	f.Seed(&c.seed)
	f.Parallel(&c.parallel, 2)
	campaign.Pick(f, &c.kinds, "faults", kindNames())
	f.Duration(&c.active, "active", 7*time.Second, 2*time.Second, "for how long events are written and faults begin")
	f.Duration(&c.drain, "drain", 30*time.Second, time.Second, "how long everything may take to be delivered once the faults have ended")
	f.Logs(&c.logs)
}

// again returns the arguments of the command that repeat the run of one seed.
func (c *config) again(seed uint64) string {
	args := fmt.Sprintf("chaos -runs 1 -seed %d -active %s -drain %s", seed, c.active, c.drain)
	if !slices.Equal(c.kinds, kindNames()) {
		args += " -faults " + strings.Join(c.kinds, ",")
	}
	return args
}

// run makes c.runs runs, c.parallel of them at a time, with a PostgreSQL for each of these. The seeds are
// c.seed and the numbers after it. A line about each run goes to out.
func (c *config) run(ctx context.Context, out io.Writer) (_ []*result, err error) {
	program, err := rig.Build(ctx, rig.Tuned)
	if err != nil {
		return nil, err
	}
	servers := make([]*pgserver.Server, c.parallel)
	defer func() {
		for _, s := range servers {
			if s != nil {
				err = errors.Join(err, s.Stop())
			}
		}
	}()
	return campaign.Runs(ctx, c.runs, c.parallel, out, func(ctx context.Context, worker, number int) (*result, error) {
		if servers[worker] == nil {
			server, err := pgserver.Start(ctx, pgserver.Config{})
			if err != nil {
				return nil, err
			}
			servers[worker] = server
		}
		return c.play(ctx, program, servers[worker], c.seed+uint64(number)), nil //nolint:gosec // It is not negative.
	})
}
