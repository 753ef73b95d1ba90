//go:build unix

// Package isolation measures what a fault in one place costs elsewhere: the time from commit to acceptance of
// aggregates that have no part in the fault, in phases with the fault and in calm phases before and after each, of
// the same run of the compiled relay; in a run of its own at a low rate, where few calls are in flight. It also measures hand-overs and what a kill -9 costs. Its report is OK when
// every bar is met and the checker finds the history in order.
package isolation

import (
	"context"
	"io"
	"time"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/campaign"
)

// Campaign returns the campaign "isolation" for the command campaign.
func Campaign() campaign.Campaign {
	return campaign.Campaign{
		Name: "isolation", About: "what a fault in one place costs elsewhere, hand-overs, and kill -9",
		Declare: func(f *campaign.Flags) campaign.Run {
			var c config
			c.declare(f)
			return func(ctx context.Context, out io.Writer) (campaign.Report, error) {
				r, err := measure(ctx, c, out)
				if err != nil {
					return campaign.Report{}, err
				}
				return campaign.Report{Text: r.text(), OK: r.ok()}, nil
			}
		},
	}
}

// config is what the command line says.
type config struct {
	rounds, quiet, rate, lowRate, lowRounds, hotRate, kills int
	phase, handOvers                                        time.Duration
	faults                                                  []string
	logs                                                    string
}

func (c *config) declare(f *campaign.Flags) {
	f.Int(&c.rounds, "rounds", 3, 1, "how often each fault takes a phase")
	f.Duration(&c.phase, "phase", 4*time.Second, time.Second, "the length of a phase")
	f.Int(&c.quiet, "quiet", 1000, 1, "how many quiet aggregates there are, at each of two destinations")
	f.Int(&c.rate, "rate", 200, 10, "events a second of the quiet aggregates, at each destination")
	f.Int(&c.lowRate, "low-rate", 50, 10, "events a second of the quiet aggregates in the run at a low rate, at one destination")
	f.Int(&c.lowRounds, "low-rounds", 2, 1, "how often each fault takes a phase in that run")
	f.Int(&c.hotRate, "hot-rate", 1000, 10, "events a second of the hot aggregate")
	campaign.Pick(f, &c.faults, "faults", names())
	f.Duration(&c.handOvers, "hand-overs", 15*time.Second, 0, "for how long hand-overs are measured; 0 is not at all")
	f.Int(&c.kills, "kills", 4, 0, "how often the relay is killed with kill -9")
	f.Logs(&c.logs)
}

// The bars: a measured value must be lower.
const (
	// mostRatio is the bar for the p99 of quiet aggregates during a fault, as a multiple of their p99 in the
	// calm phases before and after; of the phases of a fault the median counts.
	mostRatio = 2.0
	// mostLowRatio is the same in the run at a low rate, of all phases of a fault together: each has few events.
	mostLowRatio = 1.5
	// mostLate is the bar for the share of events in other calls that take longer than late, while some calls are slow.
	mostLate = 0.005
	late     = 200 * time.Millisecond
	// mostGap is the bar for the longest time without an acceptance in a hand-over.
	mostGap = 250 * time.Millisecond
)
