//go:build unix

package chaos

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/campaign"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/rig"
)

// Line implements [campaign.Result]: the seed, the plan, what became of the run and, for a run that failed, why
// and how to repeat it.
func (r *result) Line() string {
	var faults []string
	for i := range r.plan {
		if r.plan[i].err != nil {
			faults = append(faults, fmt.Sprintf("%s: %v", r.plan[i].kind.name, r.plan[i].err))
		}
	}
	return r.Report(fmt.Sprintf("seed %d (%s)", r.seed, planText(r.plan)), r.ok(), r.again, faults...)
}

// summary is the sum of all runs. failovers has the times from kill -9 to the next acceptance, drained the time
// that each run took to deliver everything after its last fault; both are sorted.
type summary struct {
	kinds     []kindSummary
	totals    rig.Totals
	failovers []time.Duration
	drained   []time.Duration
}

// kindSummary is the sum of the faults of one kind.
type kindSummary struct {
	name, what string
	// runs counts the runs with such a fault in their plan, survived those of them that were OK; injected
	// counts how often the faults had an effect.
	runs, injected, survived int
}

func summarise(results []*result) *summary {
	s := &summary{}
	for _, k := range kinds() {
		one := kindSummary{name: k.name, what: k.what}
		for _, r := range results {
			found := false
			for n := range r.plan {
				if p := &r.plan[n]; p.kind.name == k.name {
					found = true
					one.injected += p.took
				}
			}
			if found {
				one.runs++
				if r.ok() {
					one.survived++
				}
			}
		}
		s.kinds = append(s.kinds, one)
	}
	for _, r := range results {
		s.totals.Add(r.Outcome, r.ok())
		s.failovers = append(s.failovers, r.failovers...)
		s.drained = append(s.drained, r.Drained)
	}
	slices.Sort(s.failovers)
	slices.Sort(s.drained)
	return s
}

func (s *summary) report() campaign.Report {
	var b strings.Builder
	b.WriteString("| fault | what | runs | injected | survived |\n| --- | --- | ---: | ---: | ---: |\n")
	for _, k := range s.kinds {
		if k.runs > 0 {
			fmt.Fprintf(&b, "| `%s` | %s | %d | %d | %d |\n", k.name, k.what, k.runs, k.injected, k.survived)
		}
	}
	fmt.Fprintf(&b, "\n%sDrained after the last fault: p50 %s, max %s.\n", &s.totals, middle(s.drained), longest(s.drained))
	if n := len(s.failovers); n > 0 {
		fmt.Fprintf(&b, "From kill -9 to the first acceptance, no other fault near (%d times): p50 %s, max %s; the lease is %s, the tick %s.\n",
			n, middle(s.failovers), longest(s.failovers), rig.LeaseTTL, rig.Tick)
	}
	return campaign.Report{Text: b.String(), OK: s.totals.OK()}
}

func middle(sorted []time.Duration) time.Duration {
	return campaign.Quantile(sorted, 0.5).Round(time.Millisecond)
}

func longest(sorted []time.Duration) time.Duration {
	return campaign.Quantile(sorted, 1).Round(time.Millisecond)
}
