//go:build unix

// Package failover runs the compiled relay against a PostgreSQL primary with a streaming standby, and fails over again
// and again while writers write: the primary is killed, the standby promoted, and the address that relay and writers
// know leads to it. Before every second promotion the standby is cut off from the primary, so that it lacks the last
// commits and, where these are many, gives their ids out again. The checker then judges what the new primary has committed: its report is OK
// only when all of that was delivered, in order, and no event was marked with the message of another.
package failover

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/campaign"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/rig"
)

// Campaign returns the campaign "failover" for the command campaign.
func Campaign() campaign.Campaign {
	return campaign.Campaign{
		Name: "failover", About: "the compiled relay while a streaming standby takes the place of a killed primary",
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
	runs, promotions, parallel int
	seed                       uint64
	drain                      time.Duration
	logs                       string
}

func (c *config) declare(f *campaign.Flags) {
	f.Int(&c.runs, "runs", 10, 1, "how many runs, each with a pair of its own")
	f.Int(&c.promotions, "promotions", 4, 1, "promotions in a run, without and with loss in turns, of many and of few commits")
	f.Seed(&c.seed)
	f.Parallel(&c.parallel, 1)
	f.Duration(&c.drain, "drain", 60*time.Second, time.Second, "how long everything may take to be delivered after the last promotion")
	f.Logs(&c.logs)
}

// again returns the arguments of the command that repeat the run of one seed.
func (c *config) again(seed uint64) string {
	return fmt.Sprintf("failover -runs 1 -promotions %d -seed %d -drain %s", c.promotions, seed, c.drain)
}

// run makes c.runs runs, c.parallel of them at a time. The seeds are c.seed and the numbers after it. A line about each
// run goes to out.
func (c *config) run(ctx context.Context, out io.Writer) ([]*result, error) {
	program, err := rig.Build(ctx, rig.Tuned)
	if err != nil {
		return nil, err
	}
	return campaign.Runs(ctx, c.runs, c.parallel, out, func(ctx context.Context, _, number int) (*result, error) {
		return c.play(ctx, program, c.seed+uint64(number)) //nolint:gosec // It is not negative.
	})
}
