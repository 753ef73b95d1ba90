//go:build unix

package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/history"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/rig"
)

// line is what is printed of a run: one line when it is OK, and what shows the
// fault when it is not.
func (r *result) line() string {
	word := "OK"
	if !r.ok() {
		word = "FAILED"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d %s %.1fs", r.seed, word, r.took.Seconds())
	if v := r.verdict; v != nil {
		fmt.Fprintf(&b, "  %d events, %d sends, %d resent with a cause, drained in %.1fs", v.Committed, v.Sends, v.DuplicatesWithCause, r.drained.Seconds())
	}
	fmt.Fprintf(&b, "  %s\n", planText(r.plan))
	if word == "OK" {
		return b.String()
	}
	if r.err != nil {
		fmt.Fprintf(&b, "  %v\n", r.err)
	}
	for i := range r.plan {
		if r.plan[i].err != nil {
			fmt.Fprintf(&b, "  %s: %v\n", r.plan[i].kind.name, r.plan[i].err)
		}
	}
	if r.ends.Overran > 0 {
		fmt.Fprintf(&b, "  %d invocations overran their time with no fault that explains it\n", r.ends.Overran)
	}
	if w := shortest(r.verdict); w != nil {
		fmt.Fprintf(&b, "  %s: %s\n", w.Kind, w.Witness)
	}
	fmt.Fprintf(&b, "  again with: go run ./test/chaos %s; its log, trace and verdict are in %s\n", r.again, r.logs)
	return b.String()
}

// shortest returns the witness of the fewest events, and of them the shortest.
func shortest(v *history.Verdict) *history.Violation {
	if v == nil || len(v.Witnesses) == 0 {
		return nil
	}
	w := slices.MinFunc(v.Witnesses, func(a, b history.Violation) int {
		return cmp.Or(cmp.Compare(len(a.Events), len(b.Events)), cmp.Compare(len(a.Witness), len(b.Witness)))
	})
	return &w
}

// summary is the sum of all runs.
type summary struct {
	runs, okay int
	kinds      []kindSummary
	events     int
	rolledBack int
	sends      int
	resent     int
	suppressed int
	dead       int
	violations map[history.Kind]int
	ends       rig.Ends
	failovers  []time.Duration
	drained    []time.Duration
}

// kindSummary is about one kind of fault.
type kindSummary struct {
	name, what string
	// runs had it in their plan; injected counts how often it took effect;
	// survived is how many of the runs were OK.
	runs, injected, survived int
}

func summarise(results []result) *summary {
	s := &summary{runs: len(results), violations: map[history.Kind]int{}}
	for _, k := range kinds() {
		one := kindSummary{name: k.name, what: k.what}
		for i := range results {
			found := false
			for n := range results[i].plan {
				if p := &results[i].plan[n]; p.kind.name == k.name {
					found = true
					one.injected += p.took
				}
			}
			if found {
				one.runs++
				if results[i].ok() {
					one.survived++
				}
			}
		}
		s.kinds = append(s.kinds, one)
	}
	for i := range results {
		s.add(&results[i])
	}
	slices.Sort(s.failovers)
	slices.Sort(s.drained)
	return s
}

func (s *summary) add(r *result) {
	if r.ok() {
		s.okay++
	}
	s.failovers = append(s.failovers, r.failovers...)
	s.drained = append(s.drained, r.drained)
	s.ends.All += r.ends.All
	s.ends.Failed += r.ends.Failed
	s.ends.Overran += r.ends.Overran
	s.ends.Fenced += r.ends.Fenced
	v := r.verdict
	if v == nil {
		return
	}
	s.events += v.Committed
	s.rolledBack += v.RolledBack
	s.sends += v.Sends
	s.resent += v.DuplicatesWithCause
	s.suppressed += v.Suppressed
	s.dead += v.Dead
	for kind, n := range v.Violations {
		s.violations[kind] += n
	}
}

// text is the report, in Markdown.
func (s *summary) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n| fault | what | runs | injected | survived |\n| --- | --- | ---: | ---: | ---: |\n")
	for _, k := range s.kinds {
		if k.runs > 0 {
			fmt.Fprintf(&b, "| `%s` | %s | %d | %d | %d |\n", k.name, k.what, k.runs, k.injected, k.survived)
		}
	}
	fmt.Fprintf(&b, "\n%d of %d runs OK: %d events committed, %d rolled back, %d dead; %d sends, %d resent with a cause, %d suppressed by the broker\n",
		s.okay, s.runs, s.events, s.rolledBack, s.dead, s.sends, s.resent, s.suppressed)
	fmt.Fprintf(&b, "lost %d, reordered %d, duplicated without a cause %d\n", s.violations[history.Lost], s.violations[history.Reordered], s.violations[history.Duplicated])
	for _, kind := range sortedKinds(s.violations) {
		fmt.Fprintf(&b, "  %s: %d\n", kind, s.violations[kind])
	}
	fmt.Fprintf(&b, "%d invocations, %d failed or were killed, %d overran their time, %d settlements refused by the fence\n", s.ends.All, s.ends.Failed, s.ends.Overran, s.ends.Fenced)
	fmt.Fprintf(&b, "drained after the last fault: p50 %s, max %s\n", quantile(s.drained, 0.5), quantile(s.drained, 1))
	if n := len(s.failovers); n > 0 {
		fmt.Fprintf(&b, "kill -9 to the first acceptance, no other fault near (%d): p50 %s, max %s; lease %s, tick %s\n",
			n, quantile(s.failovers, 0.5), quantile(s.failovers, 1), rig.LeaseTTL, rig.Tick)
	}
	return b.String()
}

func sortedKinds(m map[history.Kind]int) []history.Kind {
	names := make([]history.Kind, 0, len(m))
	for k := range m {
		names = append(names, k)
	}
	slices.Sort(names)
	return names
}

// quantile returns the q-quantile of sorted times.
func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[int(q*float64(len(sorted)-1))].Round(time.Millisecond)
}
