//go:build unix

package failpoints

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/campaign"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/failpoint"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/history"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/rig"
)

// A slice of what make failpoints runs: the steps around an acceptance, where a
// relay that dies must send again, and its successor in order.
func TestARelayStoppedBetweenItsStepsLosesNothing(t *testing.T) {
	t.Parallel()
	var c config
	f := campaign.NewFlags("failpoints", io.Discard)
	c.declare(f)
	if err := f.Parse([]string{"-logs", t.TempDir(), "-steps", "sent,answered,settled", "-faults", "kill,lost_answer", "-times", "1", "-parallel", "3"}); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	results, err := c.run(t.Context(), &out)
	if err != nil || len(results) != 6 {
		t.Fatalf("%d results, %v\n%s", len(results), err, out.String())
	}
	for _, r := range results {
		if !r.ok() || r.Verdict.Committed < 100 {
			t.Errorf("%s", r.Line())
			continue
		}
		// An answer that is lost is sent again; a mark that was made is known to
		// the database, whatever the relay knows.
		resent := r.Verdict.DuplicatesWithCause
		if r.fault == failpoint.Lose && (resent > 0) != (r.step != failpoint.Settled) {
			t.Errorf("%d resent\n%s", resent, r.Line())
		}
	}
}

// A run is judged by what its fault may explain, and by whether it happened.
func TestARunThatProvesNothingFails(t *testing.T) {
	t.Parallel()
	made := func(fault failpoint.Fault, hits int, v history.Verdict) *result {
		return &result{step: failpoint.Answered, fault: fault, hits: hits, Outcome: &rig.Outcome{Verdict: &v}}
	}
	fine := history.Verdict{Committed: 10, DuplicatesWithCause: 1}
	for name, c := range map[string]struct {
		r    *result
		want string
	}{
		"fine":            {made(failpoint.Kill, 1, fine), " OK "},
		"not reached":     {made(failpoint.Kill, 0, fine), "not reached"},
		"in another step": {made(failpoint.Kill, 1, history.Verdict{Committed: 10}), "not stopped there"},
		"broken": {made(failpoint.Fail, 1, history.Verdict{
			Committed: 10, Violations: map[history.Kind]int{history.Lost: 2}, Witnesses: []history.Violation{{Kind: history.Lost, Witness: "the witness"}},
		}), "the witness"},
	} {
		if line := c.r.Line(); c.r.ok() != (name == "fine") || !strings.Contains(line, c.want) {
			t.Errorf("%s: ok = %v\n%s", name, c.r.ok(), line)
		}
	}
	report := table([]*result{made(failpoint.Fail, 3, history.Verdict{Committed: 9, DuplicatesWithCause: 4, Violations: map[history.Kind]int{history.Lost: 2}})})
	if report.OK || !strings.Contains(report.Text, "| `answered` | - | 3: 4, 2, 0 FAILED | - | - |") || !strings.Contains(report.Text, "0 of 1 runs OK") {
		t.Errorf("OK = %v\n%s", report.OK, report.Text)
	}
}

func TestFlagsNameEveryFault(t *testing.T) {
	t.Parallel()
	f := campaign.NewFlags("failpoints", io.Discard)
	new(config).declare(f)
	err := f.Parse([]string{"-times", "0", "-parallel", "0", "-steps", "sent,lunch", "-faults", "rain"})
	for _, name := range []string{"-times", "-parallel", `"lunch"`, `"rain"`} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("err = %v, want it to name %s", err, name)
		}
	}
}
