//go:build unix

package chaos

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/campaign"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/history"
)

// short returns a configuration for tests.
func short(t *testing.T, args ...string) config {
	t.Helper()
	var c config
	f := campaign.NewFlags("chaos", io.Discard)
	c.declare(f)
	if err := f.Parse(append([]string{"-active", "3s", "-logs", t.TempDir()}, args...)); err != nil {
		t.Fatal(err)
	}
	return c
}

func mustRun(t *testing.T, c config) ([]*result, string) {
	t.Helper()
	var out bytes.Buffer
	results, err := c.run(t.Context(), &out)
	if err != nil {
		t.Fatal(err)
	}
	if len(results) != c.runs {
		t.Fatalf("%d results of %d runs", len(results), c.runs)
	}
	return results, out.String()
}

func TestRelayKeepsItsPromisesThroughFaults(t *testing.T) {
	t.Parallel()
	c := short(t, "-runs", "2", "-seed", "7", "-active", "2s", "-faults", "kill,pg_crash,lost_response,pg_cut,throttle")
	results, out := mustRun(t, c)
	if r := summarise(results).report(); !r.OK {
		t.Errorf("not OK\n%s%s", out, r.Text)
	}
	for i := range results {
		took := 0
		for n := range results[i].plan {
			took += results[i].plan[n].took
		}
		if took == 0 || results[i].Verdict.Committed < 50 {
			t.Errorf("seed %d: %d faults took effect on %d events: that proves nothing", results[i].seed, took, results[i].Verdict.Committed)
		}
	}
}

// TestCampaignFailsWhenTheRecordIsWrong alters the record of one run: an
// acceptance that was silently dropped, one that came twice with no cause, and
// two of a lane that changed places. The faults of the plan excuse nothing.
func TestCampaignFailsWhenTheRecordIsWrong(t *testing.T) {
	t.Parallel()
	c := short(t, "-runs", "1", "-faults", "ticks", "-active", "2s")
	swapped := swap()
	c.tamper = func(n int, a history.Acceptance) []history.Acceptance {
		switch n {
		case 10:
			return nil
		case 15:
			again := a
			again.At, again.Suppressed = a.At.Add(time.Millisecond), true
			return []history.Acceptance{a, again}
		}
		return swapped(n, a)
	}
	results, out := mustRun(t, c)
	if r := summarise(results).report(); r.OK {
		t.Fatalf("OK\n%s%s", out, r.Text)
	}
	for _, kind := range []history.Kind{history.MarkedNotAccepted, history.Duplicated, history.Reordered} {
		if v := results[0].Verdict; v == nil || v.Violations[kind] != 1 {
			t.Errorf("want one violation %s\n%s", kind, out)
		}
	}
	w := results[0].Shortest()
	if w == nil || !strings.Contains(out, "-runs 1 -seed 1 -active 2s -drain 30s -faults ticks;") || !strings.Contains(out, w.Witness) {
		t.Errorf("the line names neither the seed nor the witness:\n%s", out)
	}
}

// swap returns a tamper that records one acceptance after the next one of its lane.
func swap() func(int, history.Acceptance) []history.Acceptance {
	var held *history.Acceptance
	done := false
	return func(n int, a history.Acceptance) []history.Acceptance {
		switch {
		case n < 20 || done:
			return []history.Acceptance{a}
		case held == nil:
			held = &a
			return nil
		case held.Destination != a.Destination || held.Group != a.Group:
			return []history.Acceptance{a}
		}
		done = true
		held.At, a.At = a.At, held.At
		return []history.Acceptance{a, *held}
	}
}

func TestPlanFollowsTheSeed(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for seed := range uint64(50) {
		plan := planText(makePlan(seed, kindNames(), 7*time.Second))
		if plan != planText(makePlan(seed, kindNames(), 7*time.Second)) {
			t.Fatalf("seed %d has two plans", seed)
		}
		seen[plan] = true
	}
	if len(seen) < 50 {
		t.Errorf("50 seeds made %d plans", len(seen))
	}
	for _, i := range makePlan(3, []string{"kill"}, 7*time.Second) {
		if i.kind.name != "kill" {
			t.Errorf("planned %s, want kill only", i.kind.name)
		}
	}
}

func TestFlagsNameEveryFault(t *testing.T) {
	t.Parallel()
	f := campaign.NewFlags("chaos", io.Discard)
	new(config).declare(f)
	err := f.Parse([]string{"-runs", "0", "-parallel", "0", "-active", "1s", "-drain", "0s", "-faults", "kill,rain"})
	for _, name := range []string{"-runs", "-parallel", "-active", "-drain", `"rain"`} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("err = %v, want it to name %s", err, name)
		}
	}
}

func TestKindsAreToldApart(t *testing.T) {
	t.Parallel()
	names := kindNames()
	slices.Sort(names)
	if len(slices.Compact(names)) != len(kinds()) {
		t.Errorf("two kinds share a name: %v", kindNames())
	}
}
