package main

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/history"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/lambdahost"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest/awsfake"
)

func noEnv(string) string { return "" }

func parseOK(t *testing.T, args ...string) config {
	t.Helper()
	c, err := parseFlags(args, noEnv, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// quiet returns a file for the demo's lines that nothing reads.
func quiet(t *testing.T) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

func TestDemoDeliversEverythingThoughTheRelayIsKilled(t *testing.T) {
	t.Parallel()
	out := quiet(t)
	r, err := run(t.Context(), parseOK(t, "-kill", "-events", "1200", "-rate", "200", "-tick", "2s"), out)
	if err != nil {
		log, readErr := os.ReadFile(out.Name())
		t.Fatalf("%v\n%s%v", err, log, readErr)
	}
	if !r.OK {
		t.Errorf("%s", r.text())
	}
	v := r.Verdict
	if r.Written+r.RolledBack != 1200 || v.Accepted != int(r.Written) || r.Relay.Killed == 0 || v.Causes[history.Crash] != r.Relay.Killed {
		t.Errorf("written %d, rolled back %d, accepted %d, killed %d, causes %v", r.Written, r.RolledBack, v.Accepted, r.Relay.Killed, v.Causes)
	}
	if r.Delivered["billing"] != r.Delivered["shipping"] || r.Delivered["billing"]+r.Delivered["audit"] != int(r.Written) {
		t.Errorf("delivered %v of %d", r.Delivered, r.Written)
	}
}

func TestCommandExitsWithTwoForBadFlags(t *testing.T) {
	t.Parallel()
	if code := command(t.Context(), []string{"-events", "-3"}); code != 2 {
		t.Errorf("code = %d, want 2", code)
	}
}

func TestFlagsNameEveryFault(t *testing.T) {
	t.Parallel()
	_, err := parseFlags([]string{"-events", "-1", "-rate", "-1", "-writers", "0", "-tick", "30s", "-emulator", "aws"}, noEnv, io.Discard)
	for _, name := range []string{"-events", "-rate", "-writers", "-tick", "-emulator"} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("err = %v, want it to name %s", err, name)
		}
	}
	if _, err := parseFlags([]string{"-source", "ftp:x"}, noEnv, io.Discard); err == nil {
		t.Error("an unknown source was taken")
	}
}

func TestEnvironmentChoosesSourceAndEmulator(t *testing.T) {
	t.Parallel()
	env := map[string]string{"SOURCE": "git:/some/where", "EMULATOR": "http://127.0.0.1:1"}
	c, err := parseFlags(nil, func(name string) string { return env[name] }, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if c.source.String() != "the history of /some/where" || c.emulator != env["EMULATOR"] || c.events != 2000 {
		t.Errorf("config %+v", c)
	}
	if c := parseOK(t); c.events != 21_000 || c.emulator != "fake" {
		t.Errorf("defaults %+v", c)
	}
}

func TestReportIsNotOKUnlessEverythingAgrees(t *testing.T) {
	t.Parallel()
	good := func() report {
		return report{Written: 2, RolledBack: 1, ReadModel: 2, Verdict: &history.Verdict{Committed: 2, RolledBack: 1}}
	}
	for name, spoil := range map[string]func(*report){
		"":                        func(*report) {},
		"read model":              func(r *report) { r.ReadModel = 1 },
		"history":                 func(r *report) { r.Verdict.Committed = 1 },
		"invocations":             func(r *report) { r.Relay.Failed = 1 },
		string(history.Lost):      func(r *report) { r.Verdict.Violations = map[history.Kind]int{history.Lost: 1} },
		string(history.Reordered): func(r *report) { r.Verdict.Violations = map[history.Kind]int{history.Reordered: 1} },
	} {
		t.Run("spoiled by "+name, func(t *testing.T) {
			t.Parallel()
			r := good()
			spoil(&r)
			r.judge()
			if want := name == ""; r.OK != want {
				t.Errorf("OK = %v, want %v", r.OK, want)
			}
			if text := r.text(); strings.Contains(text, "\nOK:") != r.OK || !strings.Contains(text, name) {
				t.Errorf("text does not say so:\n%s", text)
			}
			var out strings.Builder
			if err := r.writeJSON(&out); err != nil {
				t.Fatal(err)
			}
			var again report
			if err := json.Unmarshal([]byte(out.String()), &again); err != nil || again.OK != r.OK {
				t.Errorf("JSON says %v (%v)", again.OK, err)
			}
		})
	}
}

func TestFleetSortsInvocations(t *testing.T) {
	t.Parallel()
	var f fleet
	answer := func(json string) lambdahost.Response { return lambdahost.Response{Payload: []byte(json)} }
	f.done(answer(`{"outcome":"standby"}`), nil)
	f.done(answer(`{"outcome":"superseded","hand_overs":64,"unknown":3}`), nil)
	f.done(answer(`{"outcome":"idle","hand_overs":64}`), nil)
	f.done(lambdahost.Response{ColdStart: 5 * time.Millisecond}, &lambdahost.FunctionError{Type: lambdahost.TypeExit, Message: "signal: killed"})
	f.done(lambdahost.Response{}, &lambdahost.FunctionError{Type: lambdahost.TypeExit, Message: "exit status 1"})
	f.done(lambdahost.Response{}, errors.New("other"))
	got := f.snapshot()
	want := fleetStats{
		Invocations: 6, Standby: 1, Relays: 2, HandOvers: 1, Killed: 1, Failed: 2,
		ColdStarts: 1, ColdStartMs: 5, Resent: 3, Failure: "other",
	}
	if got != want {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

func TestJournalMeasuresWhicheverTimeComesFirst(t *testing.T) {
	t.Parallel()
	j := newJournal()
	j.setDestinations(map[string]string{"default": "arn:aws:sns:us-east-1:0:demo-events.fifo"})
	now := time.Now()
	accept := func(id uuid.UUID, suppressed bool) {
		j.onAccepted(awsfake.Accepted{
			At: now.Add(40 * time.Millisecond), Kind: "topic", Name: "demo-events.fifo", Source: "client", Suppressed: suppressed, GroupID: id.String(),
			DeduplicationID: id.String(), Attributes: map[string]string{outbox.AttributeEventID: id.String()},
		})
	}
	commit := func(id uuid.UUID, row int64) {
		lane := outbox.Lane{Destination: "default", AggregateType: "t", AggregateID: id.String()}
		j.Committed(history.Commit{Began: now, Done: now}, history.Event{EventID: id, Row: row, Lane: lane})
		j.Final(history.Final{EventID: id, State: history.Sent})
	}
	first, second := uuid.New(), uuid.New()
	commit(first, 1)
	accept(first, false)
	accept(second, false)
	commit(second, 2)
	accept(second, true)
	j.onAccepted(awsfake.Accepted{Source: "topic", Name: "demo-billing.fifo"})
	accepted, p99, of := j.take()
	if accepted != 2 || of != 2 || p99.Round(time.Millisecond) != 40*time.Millisecond {
		t.Errorf("accepted %d, p99 %s of %d", accepted, p99, of)
	}
	v := j.Check(history.Config{})
	kinds := []history.Kind{}
	for kind := range v.Violations {
		kinds = append(kinds, kind)
	}
	// The second send has no cause; everything else is as it should be.
	if !slices.Equal(kinds, []history.Kind{history.Duplicated}) {
		t.Errorf("violations %v\n%s", v.Violations, v)
	}
}
