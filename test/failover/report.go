//go:build unix

package failover

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/campaign"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/rig"
)

// Line implements [campaign.Result]: the seed, the promotions, what became of the run and, for a run that failed, why
// and how to repeat it.
func (r *result) Line() string {
	var words []string
	for _, p := range r.promotions {
		if p.loss() {
			words = append(words, fmt.Sprintf("%d undone, %d ids again", p.undone, p.again()))
		} else {
			words = append(words, "no loss")
		}
	}
	return r.Report(fmt.Sprintf("seed %d (%s)", r.seed, strings.Join(words, "; ")), r.ok(), r.again, r.faults...)
}

// side is the sum of the promotions of one kind.
type side struct {
	promotions, undone int
	again              int64
	// away has the time from each kill until the address led to the new primary.
	away []time.Duration
}

// summary is the sum of all runs. resumed has the times from the flip to the next acceptance, drained the time that
// each run took to deliver everything after its last promotion; both are sorted.
type summary struct {
	without, many, few side
	totals             rig.Totals
	undone, backward   int
	resumed, drained   []time.Duration
}

func summarise(results []*result) *summary {
	s := &summary{}
	for _, r := range results {
		for _, p := range r.promotions {
			one := &s.without
			switch p.lacking {
			case many:
				one = &s.many
			case few:
				one = &s.few
			}
			one.promotions++
			one.undone += p.undone
			one.again += p.again()
			one.away = append(one.away, p.flipped.Sub(p.killed))
		}
		s.backward += r.backward
		s.totals.Add(r.Outcome, r.ok())
		if r.Verdict != nil {
			s.undone += r.Verdict.Undone
		}
		s.resumed = append(s.resumed, r.resumed...)
		s.drained = append(s.drained, r.Drained)
	}
	for _, all := range [][]time.Duration{s.without.away, s.many.away, s.few.away, s.resumed, s.drained} {
		slices.Sort(all)
	}
	return s
}

func (s *summary) report() campaign.Report {
	var b strings.Builder
	b.WriteString("| promotions | how many | commits undone | ids given out again | no primary for |\n| --- | ---: | ---: | ---: | --- |\n")
	for _, row := range []struct {
		name string
		side *side
	}{{"without loss", &s.without}, {"that lose many commits", &s.many}, {"that lose few commits", &s.few}} {
		if row.side.promotions == 0 {
			continue
		}
		fmt.Fprintf(&b, "| %s | %d | %d | %d | %s |\n", row.name, row.side.promotions, row.side.undone, row.side.again, span(row.side.away))
	}
	fmt.Fprintf(&b, "\n%s%d events undone in all, with those whose commit got no answer. Attributes sequence that went backwards in a lane: %d.\n", &s.totals, s.undone, s.backward)
	fmt.Fprintf(&b, "From the flip to the next acceptance (%d times): %s. Drained at the end: %s.\n", len(s.resumed), span(s.resumed), span(s.drained))
	return campaign.Report{Text: b.String(), OK: s.totals.OK()}
}

// span returns the middle and the longest of durations that are sorted.
func span(sorted []time.Duration) string {
	return fmt.Sprintf("p50 %s, max %s",
		campaign.Quantile(sorted, 0.5).Round(time.Millisecond), campaign.Quantile(sorted, 1).Round(time.Millisecond))
}
