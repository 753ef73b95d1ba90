//go:build unix

package main

import (
	"fmt"
	"strings"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/failpoint"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/history"
)

// line is what is printed of a run: one line when it is OK, and what shows the
// fault when it is not.
func (r *result) line() string {
	word := "OK"
	if !r.ok() {
		word = "FAILED"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s at %s %s %.1fs, %d times", r.fault, r.step, word, r.took.Seconds(), r.hits)
	if v := r.verdict; v != nil {
		fmt.Fprintf(&b, "  %d events, %d sends, %d resent with a cause", v.Committed, v.Sends, v.DuplicatesWithCause)
	}
	b.WriteString("\n")
	if word == "OK" {
		return b.String()
	}
	if r.err != nil {
		fmt.Fprintf(&b, "  %v\n", r.err)
	}
	if r.hits == 0 {
		b.WriteString("  the step was not reached\n")
	}
	if why := r.misplaced(); why != "" {
		fmt.Fprintf(&b, "  %s\n", why)
	}
	if r.ends.Overran > 0 {
		fmt.Fprintf(&b, "  %d invocations overran their time with no fault that explains it\n", r.ends.Overran)
	}
	if r.verdict != nil && !r.verdict.OK() {
		b.WriteString(r.verdict.String())
	}
	fmt.Fprintf(&b, "  again with: go run ./test/failpoints -steps %s -faults %s; its log is in %s\n", r.step, r.fault, r.logs)
	return b.String()
}

// cell is what a fault at a step came to.
func (r *result) cell() string {
	v := r.verdict
	if v == nil || r.err != nil {
		return "FAILED"
	}
	mark := ""
	if !r.ok() {
		mark = " FAILED"
	}
	return fmt.Sprintf("%d: %d, %d, %d%s", r.hits, v.DuplicatesWithCause, v.Violations[history.Lost], v.Violations[history.Reordered], mark)
}

// table is the report, in Markdown.
func table(results []result) string {
	cells := map[failpoint.Step]map[failpoint.Fault]string{}
	var okay, faults, events, sends, resent, suppressed, uncaused int
	for i := range results {
		r := &results[i]
		if cells[r.step] == nil {
			cells[r.step] = map[failpoint.Fault]string{}
		}
		cells[r.step][r.fault] = r.cell()
		if r.ok() {
			okay++
		}
		faults += r.hits
		if v := r.verdict; v != nil {
			events += v.Committed
			sends += v.Sends
			resent += v.DuplicatesWithCause
			suppressed += v.Suppressed
			uncaused += v.Violations[history.Duplicated]
		}
	}
	var b strings.Builder
	b.WriteString("| step |")
	for _, f := range failpoint.Faults() {
		fmt.Fprintf(&b, " %s |", strings.ReplaceAll(string(f), "_", " "))
	}
	b.WriteString("\n| --- |" + strings.Repeat(" --- |", len(failpoint.Faults())) + "\n")
	for _, s := range failpoint.Steps() {
		if cells[s] == nil {
			continue
		}
		fmt.Fprintf(&b, "| `%s` |", s)
		for _, f := range failpoint.Faults() {
			cell := cells[s][f]
			if cell == "" {
				cell = "-"
			}
			fmt.Fprintf(&b, " %s |", cell)
		}
		b.WriteString("\n")
	}
	fmt.Fprintf(&b, "\n%d of %d runs OK: %d faults, %d events, %d sends, %d resent with a cause (%d of them dropped by the fake), %d sent twice without a cause.\n",
		okay, len(results), faults, events, sends, resent, suppressed, uncaused)
	return b.String()
}
