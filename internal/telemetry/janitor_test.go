package telemetry

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/serverless-outbox/serverless-outbox/internal/janitor"
)

func janitorLine(t *testing.T, r *janitor.Report) parsed {
	t.Helper()
	var out bytes.Buffer
	e := NewEMF(&out, "ServerlessOutbox", map[string]string{"FunctionName": "janitor"})
	e.now = func() time.Time { return time.UnixMilli(1_700_000_000_123) }
	e.ObserveJanitor(r)
	got := lines(t, out.Bytes())
	if len(got) != 1 || !slices.Equal(got[0].keys, []string{"FunctionName"}) {
		t.Fatalf("%d lines", len(got))
	}
	return got[0]
}

func TestAFullJanitorReportHasEveryMetricOfTheTable(t *testing.T) {
	t.Parallel()
	r := &janitor.Report{
		Counts: janitor.Counts{
			Made: 101, Archived: 102, Moved: 103, Dropped: 104, Expired: 105, ExpiredRows: 106, Files: 107, FileRows: 108,
			FileBytes: 109, DeadLetters: 110, Redrives: 111, Relays: 112, Locked: 113,
		},
		More: true, PartitionsKept: 114, LockedSeconds: 0.115, Errors: make([]string, 16),
		Findings: []janitor.Finding{{Code: "a"}, {Code: "b"}},
		Health: janitor.Health{
			PartitionsAhead: 201, Unsent: 202, Behind: 203, Stale: 204, OldestSeconds: 205, DefaultRows: 206, Blocked: 207, BlockedSeconds: 208,
			DeadLetters: 209, DeadLetterSeconds: 210, DeadTuples: 211, Bytes: 212, ArchiveBytes: 213, Xmin: &janitor.XminHolder{Seconds: 214},
		},
	}
	got := janitorLine(t, r)
	seen := map[string]string{}
	for _, m := range janitorList() {
		if got.metrics[m.Name] != m.Unit {
			t.Errorf("%s has unit %q, want %q", m.Name, got.metrics[m.Name], m.Unit)
		}
		v := fmt.Sprint(got.members[m.Name])
		if other, twice := seen[v]; twice && v != "1" {
			t.Errorf("%s and %s have the same value %s: one reads the wrong field", m.Name, other, v)
		}
		seen[v] = m.Name
	}
	if fmt.Sprint(got.members["FindingCodes"]) != "[a b]" {
		t.Errorf("codes %v", got.members["FindingCodes"])
	}
}

func TestAQuietJanitorReportHasOnlyWhatIsAlwaysWritten(t *testing.T) {
	t.Parallel()
	got := janitorLine(t, &janitor.Report{})
	for _, m := range janitorList() {
		if _, written := got.metrics[m.Name]; written != m.Always {
			t.Errorf("%s: written %v, want %v", m.Name, written, m.Always)
		}
	}
}
