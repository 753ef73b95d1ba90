//go:build unix

package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// Verdict is one measured value, the bar for it, and whether the value meets the bar. Says names the value. A
// Value of 0 could not be computed, and meets no bar.
type Verdict struct {
	Scenario string  `json:"scenario"`
	Says     string  `json:"says"`
	Value    float64 `json:"value"`
	// Bar is the largest Value that is OK, or the smallest when AtLeast is set.
	Bar     float64 `json:"bar"`
	AtLeast bool    `json:"at_least,omitempty"`
	OK      bool    `json:"ok"`
}

var errBar = errors.New("a bar is missed")

func verdict(scenario, says string, value, bar float64, atLeast bool) Verdict {
	// A value that could not be computed is 0, and meets no bar.
	ok := value > 0 && (atLeast && value >= bar || !atLeast && value <= bar)
	return Verdict{Scenario: scenario, Says: says, Value: value, Bar: bar, AtLeast: atLeast, OK: ok}
}

// The bars for ratios. fetchBar and memoryBar are the most that the time of a fetch and the memory may be as a
// multiple of those they are compared with, backlogBar is the least for the rate. The time of a fetch that
// searches dead rows grows without end, that of a fetch which does not only varies. The size of a process
// swings with its garbage collection, so the means of windows are compared.
const (
	fetchBar   = 1.5
	memoryBar  = 1.1
	backlogBar = 0.9
)

// steady judges a load of a scenario with Steady: the fetch time in the last tenth of its duration may be at
// most 1.5 times that in the first tenth, and the mean memory in the last tenth at most 1.1 times that in the
// third tenth, when the heap has reached its size. It returns nil for other runs.
func (r *Result) steady() []Verdict {
	if r.Rate == 0 || !r.Steady {
		return nil
	}
	window := r.Duration / 10
	fetch := ratio(r.fetchMS(r.Duration-window, r.Duration), r.fetchMS(0, window))
	memory := ratio(r.memoryMB(r.Duration-window, r.Duration), r.memoryMB(2*window, 3*window))
	return []Verdict{
		verdict(r.Name, "fetch time, last window / first", fetch, fetchBar, false),
		verdict(r.Name, "relay memory, last window / third", memory, memoryBar, false),
	}
}

func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

// window returns the samples taken from one time to another, both counted from the first sample and with half a
// second to spare at either end.
func (r *Result) window(from, to time.Duration) []sample {
	var in []sample
	for _, s := range r.Samples {
		// A sample comes up to half a second from its time.
		if at := s.At.Sub(r.Samples[0].At); at >= from-time.Second/2 && at <= to+time.Second/2 {
			in = append(in, s)
		}
	}
	return in
}

func (r *Result) fetchMS(from, to time.Duration) float64 {
	in := r.window(from, to)
	if len(in) < 2 {
		return 0
	}
	return between(in[0], in[len(in)-1], in[0].At).FetchMS
}

func (r *Result) memoryMB(from, to time.Duration) float64 {
	in := r.window(from, to)
	sum := 0.0
	for _, s := range in {
		sum += float64(s.Memory) / (1 << 20)
	}
	return ratio(sum, float64(len(in)))
}

// compared judges each run that names a scenario in Against by the run of that scenario in the same round: its
// rate must be at least 0.9 of that run's, and its fetch time at most 1.5 times that run's. A fetch time that
// cannot be computed is a miss for a run with archived partitions, and left out for others.
func compared(results []*Result) []Verdict {
	var all []Verdict
	for _, r := range results {
		i := slices.IndexFunc(results, func(base *Result) bool { return base.Name == r.Against && base.Round == r.Round })
		if i < 0 {
			continue
		}
		base := results[i]
		all = append(all, verdict(r.Name, "events/s / those of "+base.Name, ratio(r.Achieved, base.Achieved), backlogBar, true))
		if fetch := ratio(r.fetchMS(0, r.elapsed), base.fetchMS(0, base.elapsed)); fetch > 0 || r.Archived > 0 {
			all = append(all, verdict(r.Name, "fetch time / that of "+base.Name, fetch, fetchBar, false))
		}
	}
	return all
}

// tell prints the verdicts, a line each, and returns an errBar for each bar that is missed, joined.
func tell(out io.Writer, verdicts []Verdict) error {
	var missed []error
	for _, v := range verdicts {
		word, sign := "ok", "at most"
		if v.AtLeast {
			sign = "at least"
		}
		if !v.OK {
			word = "MISSED"
			missed = append(missed, fmt.Errorf("%w: %s: %s: %.3f", errBar, v.Scenario, v.Says, v.Value))
		}
		_, _ = fmt.Fprintf(out, "%-8s%s: %s: %.3f (%s %.2f)\n", word, v.Scenario, v.Says, v.Value, sign, v.Bar)
	}
	return errors.Join(missed...)
}
