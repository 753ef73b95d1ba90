//go:build unix

package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
)

// Ratio is how many times better this project's relay was than a peer in the same round. Ours and Peer are the
// names of the two scenarios.
type Ratio struct {
	Round int    `json:"round"`
	Ours  string `json:"ours"`
	Peer  string `json:"peer"`
	// Rate is for a backlog: events a second, the relay's divided by the peer's. P99 is for a load: the time
	// from commit to the broker's answer, the peer's divided by the relay's. The one that does not apply is 0.
	Rate float64 `json:"events_per_second,omitempty"`
	P99  float64 `json:"from_commit_p99,omitempty"`
	// CPU is the processor time that the peer's relay used for an event, divided by that of this project's
	// relay. AllCPU adds the time of PostgreSQL to both.
	CPU    float64 `json:"cpu"`
	AllCPU float64 `json:"cpu_with_postgres"`
}

// ratios compares each run of a peer with the run of this project's relay that its Beside names, in the same
// round. A run without such a run is left out.
func ratios(results []*Result) []Ratio {
	var all []Ratio
	for _, r := range results {
		i := slices.IndexFunc(results, func(ours *Result) bool { return r.Beside != "" && ours.Name == r.Beside && ours.Round == r.Round })
		if i < 0 {
			continue
		}
		ours := results[i]
		one := Ratio{
			Round: r.Round, Ours: ours.Name, Peer: r.Name,
			CPU: ratio(r.RelayCPU, ours.RelayCPU), AllCPU: ratio(r.RelayCPU+r.PostgresCPU, ours.RelayCPU+ours.PostgresCPU),
		}
		if r.Rate > 0 {
			one.P99 = ratio(r.FromCommit.P99, ours.FromCommit.P99)
		} else {
			one.Rate = ratio(ours.Achieved, r.Achieved)
		}
		all = append(all, one)
	}
	return all
}

// peerTables prints a table of the findings and one of the ratios.
func peerTables(out io.Writer, results []*Result, all []Ratio) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintln(w, "\nscenario\tround\tcommitted\tarrived\tlost\tduplicates\tout of order\taltered\tunsent\t\t")
	for _, r := range results {
		f := r.Findings
		if f == nil {
			continue
		}
		end := ""
		if r.CutShort {
			end = "cut after " + r.Cut.String()
		}
		_, _ = fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%s\t\n", r.Name, r.Round, f.Committed, f.Arrived, f.Lost, f.Duplicates, f.OutOfOrder, f.Altered, f.Unsent, end)
	}
	_, _ = fmt.Fprintln(w, "\nours\tpeer\tround\tevents/s, ours / peer\tp99, peer / ours\tCPU, peer / ours\twith PostgreSQL\t")
	for _, r := range all {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\t%.2f\t%.2f\t\n", r.Ours, r.Peer, r.Round, times(r.Rate), times(r.P99), r.CPU, r.AllCPU)
	}
	_ = w.Flush() // a terminal that is gone fails no run
}

// times returns the text of a ratio with two digits, and "-" for 0, which stands for no ratio.
func times(v float64) string {
	if v == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", v)
}
