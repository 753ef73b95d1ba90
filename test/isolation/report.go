//go:build unix

package isolation

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/campaign"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/history"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/rig"
)

// report holds what was measured: played the phases in their order, gaps the longest time without an acceptance of
// each hand-over, failovers the time from each kill to the next acceptance, verdicts one on the history of each run;
// unsent how many events of quiet aggregates were not accepted when each fault ended.
// machine is the load average at the begin and at the end.
type report struct {
	cfg       config
	machine   string
	meter     *meter
	played    []played
	gaps      []time.Duration
	failovers []time.Duration
	verdicts  []*history.Verdict
	unsent    map[string]int
}

// ratio compares the quiet aggregates' latency during one fault with that in calm phases.
type ratio struct {
	*fault
	phases       int
	events       int
	calm, during time.Duration // p99 from commit to acceptance, of all phases together
	each         []float64     // p99 of each phase divided by that of the calm ones before and after, sorted
	// late is the share of the events that took longer than the constant late, those left out that took as long as
	// the slow calls of the fault. unsent is how many were not accepted when the fault ended.
	late   float64
	unsent int
}

// value returns the median of r.each, so that one phase in which the machine was busy otherwise does not decide, and for
// a fault at a low rate the ratio of all phases together. r.each must not be empty.
func (r *ratio) value() float64 {
	if r.low {
		return float64(r.during) / float64(max(1, r.calm))
	}
	return r.each[len(r.each)/2]
}

// ok says whether the bar of the fault is met.
func (r *ratio) ok() bool {
	switch {
	case r.slow > 0:
		return r.late <= mostLate && r.unsent == 0
	case r.low:
		return r.value() <= mostLowRatio && r.unsent == 0
	}
	return r.value() < mostRatio
}

// ratios returns the ratio of each fault that was played.
func (r *report) ratios() []ratio {
	var all []ratio
	for _, f := range faults("") {
		one := ratio{fault: &f, unsent: r.unsent[f.name]}
		var in, calm []int
		for i, p := range r.played {
			if p.fault != f.name {
				continue
			}
			near := []int{r.played[i-1].number, r.played[i+1].number}
			in, calm = append(in, p.number), append(calm, near...)
			one.each = append(one.each, float64(campaign.Quantile(r.meter.of(p.number), 0.99))/float64(max(1, campaign.Quantile(r.meter.of(near...), 0.99))))
		}
		if len(in) == 0 {
			continue
		}
		slices.Sort(one.each)
		slices.Sort(calm)
		calm = slices.Compact(calm)
		times := r.meter.of(in...)
		one.phases, one.events = len(in), len(times)
		one.late = lateShare(times, f.slow)
		one.during, one.calm = campaign.Quantile(times, 0.99), campaign.Quantile(r.meter.of(calm...), 0.99)
		all = append(all, one)
	}
	return all
}

// lateShare returns the share of the times that are above late. Those of slow or more do not count; zero is no bound.
func lateShare(times []time.Duration, slow time.Duration) float64 {
	others, above := 0, 0
	for _, t := range times {
		if slow > 0 && t >= slow {
			continue
		}
		if others++; t > late {
			above++
		}
	}
	return float64(above) / float64(max(1, others))
}

// failoverBar is the bar for the time from a kill -9 to the next acceptance, which must be lower: a lease and a
// tick, before which no relay can take over.
func failoverBar() time.Duration { return rig.LeaseTTL + rig.Tick }

// ok reports whether every measured value is below its bar (mostRatio, mostGap, failoverBar) and the histories
// are in order. What was not measured does not count.
func (r *report) ok() bool {
	for _, one := range r.ratios() {
		if !one.ok() {
			return false
		}
	}
	for _, v := range r.verdicts {
		if !v.OK() {
			return false
		}
	}
	return (len(r.gaps) == 0 || slices.Max(r.gaps) < mostGap) && (len(r.failovers) == 0 || slices.Max(r.failovers) < failoverBar())
}

// text returns the report in Markdown.
func (r *report) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d quiet aggregates with %d events/s; %d processors, load average %s\n\n", r.cfg.quiet, r.cfg.rate, runtime.NumCPU(), r.machine)
	b.WriteString("| fault elsewhere | phases | events | p99 calm | p99 during | ratio: least, median, most | bar |\n| --- | ---: | ---: | ---: | ---: | ---: | --- |\n")
	low := false
	for _, one := range r.ratios() {
		if one.low {
			low = true
			continue
		}
		fmt.Fprintf(&b, "| `%s`: %s | %d | %d | %.1f ms | %.1f ms | %.2f, %.2f, %.2f | %s |\n", one.name, one.what, one.phases, one.events,
			milliseconds(one.calm), milliseconds(one.during), one.each[0], one.value(), one.each[len(one.each)-1], met(one.ok(), "< 2"))
	}
	if low {
		r.lowText(&b)
	}
	b.WriteString("\n")
	if n := len(r.gaps); n > 0 {
		slices.Sort(r.gaps)
		fmt.Fprintf(&b, "- %d hand-overs: longest time without an acceptance p50 %.0f ms, max %.0f ms (%s)\n", n,
			milliseconds(campaign.Quantile(r.gaps, 0.5)), milliseconds(r.gaps[n-1]), met(r.gaps[n-1] < mostGap, "< "+mostGap.String()))
	}
	if n := len(r.failovers); n > 0 {
		slices.Sort(r.failovers)
		fmt.Fprintf(&b, "- %d times kill -9, to the first acceptance: p50 %.2f s, max %.2f s (%s: lease %s, tick %s)\n", n,
			campaign.Quantile(r.failovers, 0.5).Seconds(), r.failovers[n-1].Seconds(), met(r.failovers[n-1] < failoverBar(), "< "+failoverBar().String()), rig.LeaseTTL, rig.Tick)
	}
	for _, v := range r.verdicts {
		text := v.String()
		if v.OK() {
			text, _, _ = strings.Cut(text, "\n") // The latencies are above.
		}
		fmt.Fprintf(&b, "- history: %s\n", strings.TrimSpace(text))
	}
	return b.String()
}

// lowText adds the table of the run at a low rate.
func (r *report) lowText(b *strings.Builder) {
	fmt.Fprintf(b, "\n%d quiet aggregates with %d events/s at one destination, the one with the fault:\n\n", r.cfg.quiet, r.cfg.lowRate)
	b.WriteString("| fault | phases | events | p99 calm | p99 during | ratio | later than 0.2 s | unsent | bar |\n| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |\n")
	for _, one := range r.ratios() {
		if !one.low {
			continue
		}
		bar := "ratio at most 1.5, none unsent"
		if one.slow > 0 {
			bar = "at most 0.5 % of those in other calls later, none unsent"
		}
		fmt.Fprintf(b, "| `%s`: %s | %d | %d | %.1f ms | %.1f ms | %.2f | %.2f %% | %d | %s |\n", one.name, one.what, one.phases, one.events,
			milliseconds(one.calm), milliseconds(one.during), one.value(), 100*one.late, one.unsent, met(one.ok(), bar))
	}
}

// met returns the text of a bar with ", met" or ", MISSED" behind it.
func met(ok bool, bar string) string {
	if ok {
		return bar + ", met"
	}
	return bar + ", MISSED"
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// loadAverage returns the machine's load average of the last minute, "unknown" where there is no /proc/loadavg.
func loadAverage() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	return strings.Fields(string(text))[0]
}
