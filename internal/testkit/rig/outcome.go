//go:build unix

package rig

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/history"
)

// Outcome is what became of one run, from [Experiment.Play]. Close ends it: until then its folder of logs stays.
type Outcome struct {
	// Verdict is nil when the run did not come far enough to be judged.
	Verdict *history.Verdict
	Ends    Ends
	// Written is when Experiment.Do returned and the writers had to stop, zero when the run
	// did not come so far. Drained is how long it took from the end of the writers until no
	// event was pending or the wait was given up. Took is how long the whole run took.
	Written       time.Time
	Drained, Took time.Duration
	// Logs is the folder with the relay's log, empty when it could not be made.
	Logs string
	// Err has what kept the run from taking place as planned, and the error of Close; nil
	// otherwise. A broken promise is in Verdict and not here.
	Err error

	journal *Journal
}

// OK is whether the run took place, no promise was broken, and no invocation overran.
func (o *Outcome) OK() bool {
	return o.Err == nil && o.Verdict != nil && o.Verdict.OK() && o.Ends.Overran == 0
}

// Close removes the logs of the run when ok is set. Otherwise it adds to the folder the note and the verdict, as
// verdict.txt, and a trace of every acceptance, as trace.jsonl. It puts its own error into Err.
func (o *Outcome) Close(ok bool, note string) {
	if ok {
		o.Err = os.RemoveAll(o.Logs)
		return
	}
	if o.Logs == "" {
		return
	}
	if o.Verdict != nil {
		note += o.Verdict.String()
	}
	err := os.WriteFile(filepath.Join(o.Logs, "verdict.txt"), []byte(note), 0o600)
	f, traceErr := os.Create(filepath.Join(o.Logs, "trace.jsonl"))
	if traceErr == nil {
		traceErr = errors.Join(o.journal.Trace(f), f.Close())
	}
	o.Err = errors.Join(o.Err, err, traceErr)
}

// Report returns what a campaign prints of the run, ending in a newline. The first line has name, OK or FAILED by
// ok, the seconds it took and, when there is a verdict, its counts. Unless ok is set, further lines have each of
// faults, Err, the number of overrun invocations, the violation that Shortest returns, and the command that repeats
// the run: go run ./test/campaign, followed by the arguments in again.
func (o *Outcome) Report(name string, ok bool, again string, faults ...string) string {
	word := "OK"
	if !ok {
		word = "FAILED"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s %.1fs", name, word, o.Took.Seconds())
	if v := o.Verdict; v != nil {
		fmt.Fprintf(&b, "  %d events, %d sends, %d resent with a cause, drained in %.1fs", v.Committed, v.Sends, v.DuplicatesWithCause, o.Drained.Seconds())
	}
	b.WriteString("\n")
	if ok {
		return b.String()
	}
	if o.Err != nil {
		faults = append(faults, o.Err.Error())
	}
	if o.Ends.Overran > 0 {
		faults = append(faults, fmt.Sprintf("%d invocations overran their time with no fault that explains it", o.Ends.Overran))
	}
	if w := o.Shortest(); w != nil {
		faults = append(faults, fmt.Sprintf("%s: %s", w.Kind, w.Witness))
	}
	for _, f := range faults {
		fmt.Fprintf(&b, "  %s\n", f)
	}
	fmt.Fprintf(&b, "  again with: go run ./test/campaign %s; its log, trace and verdict are in %s\n", again, o.Logs)
	return b.String()
}

// Shortest returns the violation that is easiest to read: of those in the verdict with the
// fewest events, the one with the shortest text. It returns nil when there is none.
func (o *Outcome) Shortest() *history.Violation {
	if o.Verdict == nil || len(o.Verdict.Witnesses) == 0 {
		return nil
	}
	w := slices.MinFunc(o.Verdict.Witnesses, func(a, b history.Violation) int {
		return cmp.Or(cmp.Compare(len(a.Events), len(b.Events)), cmp.Compare(len(a.Witness), len(b.Witness)))
	})
	return &w
}

// Totals sums up the outcomes of several runs. The zero value has none. It is for one goroutine.
type Totals struct {
	runs, ok, events, rolledBack, deadLetters, sends, resent, suppressed int
	violations                                                           map[history.Kind]int
	ends                                                                 Ends
}

// Add adds the counts of a run. ok is whether the run met all that its campaign asks,
// which may be more than o.OK.
func (t *Totals) Add(o *Outcome, ok bool) {
	t.runs++
	if ok {
		t.ok++
	}
	t.ends.All += o.Ends.All
	t.ends.Failed += o.Ends.Failed
	t.ends.Overran += o.Ends.Overran
	t.ends.Fenced += o.Ends.Fenced
	v := o.Verdict
	if v == nil {
		return
	}
	t.events += v.Committed
	t.rolledBack += v.RolledBack
	t.deadLetters += v.DeadLetters
	t.sends += v.Sends
	t.resent += v.DuplicatesWithCause
	t.suppressed += v.Suppressed
	if t.violations == nil {
		t.violations = map[history.Kind]int{}
	}
	for kind, n := range v.Violations {
		t.violations[kind] += n
	}
}

// OK reports whether at least one run was added, and each with ok set.
func (t *Totals) OK() bool { return t.runs > 0 && t.ok == t.runs }

// String returns the sums in a paragraph.
func (t *Totals) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d of %d runs OK: %d events committed, %d rolled back, %d dead letters; %d sends, %d resent with a cause (%d of all dropped by the fake as duplicates).\n",
		t.ok, t.runs, t.events, t.rolledBack, t.deadLetters, t.sends, t.resent, t.suppressed)
	fmt.Fprintf(&b, "Lost %d, reordered %d, sent twice without a cause %d", t.violations[history.Lost], t.violations[history.Reordered], t.violations[history.Duplicated])
	for _, kind := range slices.Sorted(maps.Keys(t.violations)) {
		if kind != history.Lost && kind != history.Reordered && kind != history.Duplicated {
			fmt.Fprintf(&b, ", %s %d", kind, t.violations[kind])
		}
	}
	fmt.Fprintf(&b, ".\n%d invocations: %d failed or were killed, %d overran their time; %d events not settled as a lease was lost.\n",
		t.ends.All, t.ends.Failed, t.ends.Overran, t.ends.Fenced)
	return b.String()
}
