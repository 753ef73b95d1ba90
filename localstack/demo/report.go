package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/history"
)

// report is the result of the demo.
type report struct {
	Source   string `json:"source"`
	Emulator string `json:"emulator"`
	// Watched is whether the broker reported every send, as only the fake does. If not, acceptances are derived from
	// the rows that are marked as sent, and it cannot be seen whether an event was sent twice.
	Watched    bool   `json:"watched"`
	PostgreSQL string `json:"postgresql"`
	// Seconds is the time from the first write until every consumer had every event of its destination.
	Seconds float64 `json:"seconds"`
	// Written counts committed events, Late the events of transactions that were kept open for up to half a
	// second, RolledBack the events of transactions that were rolled back, which must never be seen.
	Written    int64 `json:"written"`
	Late       int64 `json:"late"`
	RolledBack int64 `json:"rolled_back"`
	// Aggregates counts the aggregates that the events are about.
	Aggregates int64 `json:"aggregates"`
	// ReadModel counts the deliveries in the service's own tables. It must equal Written.
	ReadModel int64 `json:"read_model"`
	// Delivered counts the events that each consumer received, each once.
	Delivered map[string]int   `json:"delivered"`
	Relay     fleetStats       `json:"relay"`
	Verdict   *history.Verdict `json:"verdict"`
	// Faults are what the demo found wrong beside the Verdict, which is the checker's. OK is set when there are none
	// and the Verdict has no violation.
	Faults []string `json:"faults"`
	OK     bool     `json:"ok"`
}

// judge adds to Faults when the read model, the history and the counts of the writers differ or an invocation
// of the relay failed, and sets OK.
func (r *report) judge() {
	if r.ReadModel != r.Written {
		r.Faults = append(r.Faults, fmt.Sprintf("the read model has %d changes, but %d events were written", r.ReadModel, r.Written))
	}
	if int64(r.Verdict.Committed) != r.Written || int64(r.Verdict.RolledBack) != r.RolledBack {
		r.Faults = append(r.Faults, fmt.Sprintf("the history has %d committed and %d rolled back, the writers %d and %d",
			r.Verdict.Committed, r.Verdict.RolledBack, r.Written, r.RolledBack))
	}
	if r.Relay.Failed > 0 {
		r.Faults = append(r.Faults, fmt.Sprintf("%d invocations of the relay failed: %s", r.Relay.Failed, r.Relay.Failure))
	}
	r.OK = r.Verdict.OK() && len(r.Faults) == 0
}

func (r *report) writeJSON(out io.Writer) error {
	enc := json.NewEncoder(out)
	enc.SetIndent("", "  ")
	if err := enc.Encode(r); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

// text returns the report as text for people.
func (r *report) text() string {
	out := &strings.Builder{}
	v := r.Verdict
	row := func(name, format string, args ...any) {
		fmt.Fprintf(out, "  %-22s %s\n", name, fmt.Sprintf(format, args...))
	}
	fmt.Fprintf(out, "\n%s\n\n", r.Source)
	row("written", "%d events of %d aggregates in %.1f s, %d of them in transactions that stay open", r.Written, r.Aggregates, r.Seconds, r.Late)
	row("rolled back", "%d events, none of which was seen", r.RolledBack)
	row("accepted", "%d events in %d sends", v.Accepted, v.Sends)
	for _, name := range slices.Sorted(maps.Keys(r.Delivered)) {
		row("delivered to "+name, "%d", r.Delivered[name])
	}
	if r.Watched {
		row("sent again", "%d with a cause, %d without; the broker suppressed %d", v.DuplicatesWithCause, v.Violations[history.Duplicated], v.Suppressed)
	} else {
		row("sent again", "cannot be seen at this endpoint; acceptances are read from the rows' marks")
	}
	row("unknown outcomes", "%d, as the relay saw it: answers that did not come in time", r.Relay.Resent)
	row("received again", "%d", v.Redelivered)
	for _, name := range slices.Sorted(maps.Keys(v.Latency)) {
		l := v.Latency[name]
		row("latency to "+name, "p50 %.0f ms, p99 %.0f ms from commit to acceptance", l.P50, l.P99)
	}
	f := r.Relay
	row("relay", "%d invocations: %d carried events, %d stood by, %d handed over at work, %d killed", f.Invocations, f.Relays, f.Standby, f.HandOvers, f.Killed)
	row("cold start", "%.0f ms at most, of %d", f.ColdStartMs, f.ColdStarts)
	fmt.Fprintln(out)
	for _, fault := range r.Faults {
		fmt.Fprintf(out, "FAULT: %s\n", fault)
	}
	if !v.OK() {
		fmt.Fprintln(out, v)
	}
	if r.OK {
		fmt.Fprintln(out, "OK: every committed event was delivered, in order, and nothing else was.")
	} else {
		fmt.Fprintln(out, "NOT OK")
	}
	return out.String()
}
