//go:build unix

package main

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/failpoint"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/history"
)

func flags(t *testing.T, args ...string) config {
	t.Helper()
	c, err := parseFlags(append([]string{"-logs", t.TempDir()}, args...), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// A slice of what make failpoints runs: the steps around an acceptance, where a
// relay that dies must send again, and its successor in order.
func TestARelayStoppedBetweenItsStepsLosesNothing(t *testing.T) {
	t.Parallel()
	c := flags(t, "-steps", "sent,answered,settled", "-faults", "kill,lost_answer", "-times", "1", "-parallel", "3")
	var out bytes.Buffer
	results, err := campaign(t.Context(), c, &out)
	if err != nil || len(results) != 6 {
		t.Fatalf("%d results, %v\n%s", len(results), err, out.String())
	}
	for i := range results {
		r := &results[i]
		if !r.ok() || r.verdict.Committed < 100 {
			t.Errorf("%s", r.line())
			continue
		}
		// An answer that is lost is sent again; a mark that was made is known to
		// the database, whatever the relay knows.
		resent := r.verdict.DuplicatesWithCause
		if r.fault == failpoint.Lose && (resent > 0) != (r.step != failpoint.Settled) {
			t.Errorf("%d resent\n%s", resent, r.line())
		}
	}
}

// A run is judged by what its fault may explain, and by whether it happened.
func TestARunThatProvesNothingFails(t *testing.T) {
	t.Parallel()
	fine := history.Verdict{Committed: 10, DuplicatesWithCause: 1}
	for name, c := range map[string]struct {
		r    result
		want string
	}{
		"fine":            {result{step: failpoint.Answered, fault: failpoint.Kill, hits: 1, verdict: &fine}, " OK "},
		"not reached":     {result{step: failpoint.Answered, fault: failpoint.Kill, verdict: &fine}, "not reached"},
		"in another step": {result{step: failpoint.Answered, fault: failpoint.Kill, hits: 1, verdict: &history.Verdict{Committed: 10}}, "not stopped there"},
		"broken": {result{step: failpoint.Answered, fault: failpoint.Fail, hits: 1, verdict: &history.Verdict{
			Committed: 10, Violations: map[history.Kind]int{history.Lost: 2}, Witnesses: []history.Violation{{Kind: history.Lost, Witness: "the witness"}},
		}}, "the witness"},
	} {
		if line := c.r.line(); c.r.ok() != (name == "fine") || !strings.Contains(line, c.want) {
			t.Errorf("%s: ok = %v\n%s", name, c.r.ok(), line)
		}
	}
	text := table([]result{{step: failpoint.Sent, fault: failpoint.Fail, hits: 3, verdict: &history.Verdict{Committed: 9, DuplicatesWithCause: 4, Violations: map[history.Kind]int{history.Lost: 2}}}})
	if !strings.Contains(text, "| `sent` | - | 3: 4, 2, 0 FAILED | - | - |") || !strings.Contains(text, "0 of 1 runs OK") {
		t.Error(text)
	}
}

func TestFlagsNameEveryFault(t *testing.T) {
	t.Parallel()
	_, err := parseFlags([]string{"-times", "0", "-parallel", "0", "-steps", "sent,lunch", "-faults", "rain"}, io.Discard)
	for _, name := range []string{"-times", "-parallel", `"lunch"`, `"rain"`} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("err = %v, want it to name %s", err, name)
		}
	}
	if code := command(t.Context(), []string{"-times", "-1"}); code != 2 {
		t.Errorf("exit code %d, want 2", code)
	}
}
