//go:build unix

package failpoints

import (
	"fmt"
	"strings"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/campaign"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/failpoint"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/history"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/rig"
)

// Line implements [campaign.Result]: the fault, the step, what became of the run and, for a run that failed,
// why and how to repeat it.
func (r *result) Line() string {
	var faults []string
	if r.hits == 0 {
		faults = append(faults, "the step was not reached")
	}
	if why := r.misplaced(); why != "" {
		faults = append(faults, why)
	}
	return r.Report(fmt.Sprintf("%s at %s, %d times", r.fault, r.step, r.hits), r.ok(),
		fmt.Sprintf("failpoints -steps %s -faults %s", r.step, r.fault), faults...)
}

// cell returns the text of the run in the table: how often the fault happened, then the numbers of events sent
// again with a cause, lost and reordered. "FAILED" is for a run that could not be made, or behind the numbers
// of one that is not ok.
func (r *result) cell() string {
	v := r.Verdict
	if v == nil || r.Err != nil {
		return "FAILED"
	}
	mark := ""
	if !r.ok() {
		mark = " FAILED"
	}
	return fmt.Sprintf("%d: %d, %d, %d%s", r.hits, v.DuplicatesWithCause, v.Violations[history.Lost], v.Violations[history.Reordered], mark)
}

// table returns the report: a row for each step, a column for each fault.
func table(results []*result) campaign.Report {
	type place struct {
		step  failpoint.Step
		fault failpoint.Fault
	}
	cells, reached := map[place]string{}, map[failpoint.Step]bool{}
	var totals rig.Totals
	faults := 0
	for _, r := range results {
		cells[place{r.step, r.fault}], reached[r.step] = r.cell(), true
		totals.Add(r.Outcome, r.ok())
		faults += r.hits
	}
	var b strings.Builder
	b.WriteString("| step |")
	for _, f := range failpoint.Faults() {
		fmt.Fprintf(&b, " %s |", strings.ReplaceAll(string(f), "_", " "))
	}
	b.WriteString("\n| --- |" + strings.Repeat(" --- |", len(failpoint.Faults())) + "\n")
	for _, s := range failpoint.Steps() {
		if !reached[s] {
			continue
		}
		fmt.Fprintf(&b, "| `%s` |", s)
		for _, f := range failpoint.Faults() {
			cell := cells[place{s, f}]
			if cell == "" {
				cell = "-"
			}
			fmt.Fprintf(&b, " %s |", cell)
		}
		b.WriteString("\n")
	}
	fmt.Fprintf(&b, "\n%d faults. %s", faults, &totals)
	return campaign.Report{Text: b.String(), OK: totals.OK()}
}
