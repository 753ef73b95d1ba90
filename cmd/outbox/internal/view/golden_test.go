package view_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/serverless-outbox/serverless-outbox/cmd/outbox/internal/view"
	"github.com/serverless-outbox/serverless-outbox/internal/pgadmin"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

var update = flag.Bool("update", false, "write the golden files")

var (
	now   = time.Date(2026, 11, 23, 21, 14, 29, 500e6, time.UTC)
	alpha = uuid.MustParse("0197a3b0-5c1e-7c4a-9f0e-3d2b1a00000a")
	beta  = uuid.MustParse("0197a3b0-5c1e-7c4a-9f0e-3d2b1a00000b")
	event = uuid.MustParse("0197a3b0-5c1e-7c4a-9f0e-3d2b1a000001")
	other = uuid.MustParse("0197a3b0-5c1e-7c4a-9f0e-3d2b1a000002")
)

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v: run: go test ./cmd/outbox/internal/view -update", err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs: run: go test ./cmd/outbox/internal/view -update\ngot:\n%s\nwant:\n%s", path, got, want)
	}
}

// shards gives the shards of each range to an owner, uuid.Nil for nobody.
func shards(owners map[[2]int]uuid.UUID) []pgadmin.ShardStatus {
	all := make([]pgadmin.ShardStatus, outbox.Shards)
	for i := range all {
		all[i].Shard = i
		for r, owner := range owners {
			if r[0] <= i && i <= r[1] && owner != uuid.Nil {
				all[i].Owner = &owner
			}
		}
	}
	return all
}

func relay(id uuid.UUID, name string, age, lease, run time.Duration) pgadmin.RelayStatus {
	return pgadmin.RelayStatus{RelayID: id, Name: name, StartedAt: now.Add(-age), LeaseUntil: now.Add(lease), RunUntil: now.Add(run)}
}

func healthy() pgadmin.Status {
	return pgadmin.Status{
		Now: now, SchemaVersion: 1, Pending: 1234, PendingLimit: 100_000,
		Destinations: []pgadmin.DestinationStatus{
			{Destination: "audit", Pending: 34, Oldest: now.Add(-120 * time.Millisecond)},
			{Destination: "default", Pending: 1200, Oldest: now.Add(-350 * time.Millisecond)},
		},
		Relays: []pgadmin.RelayStatus{
			relay(beta, "72f1c9c0-request", 62*time.Second, 5200*time.Millisecond, 230*time.Second),
			relay(alpha, "0d3b77aa-request", 270*time.Second, 5900*time.Millisecond, 22*time.Second),
		},
		Shards: shards(map[[2]int]uuid.UUID{{0, 31}: beta, {32, 63}: alpha}),
	}
}

func troubled() pgadmin.Status {
	st := healthy()
	st.Pending, st.PendingLimit = 2000, 2000
	st.Destinations = append(st.Destinations, pgadmin.DestinationStatus{Destination: "invoi\x1b[31mces", Pending: 766, Oldest: now.Add(-27 * time.Hour)})
	st.Relays[0].Leaving = true
	st.Relays[1].LeaseUntil = now.Add(-3 * time.Second)
	// The last two belong to a relay that is gone.
	st.Shards = shards(map[[2]int]uuid.UUID{{0, 9}: beta, {10, 12}: uuid.Nil, {13, 61}: alpha, {62, 63}: other})
	st.DeadLetters, st.Blocked = 3, 1
	st.SchemaVersion = 1_000_000
	return st
}

func unattended() pgadmin.Status {
	return pgadmin.Status{
		Now: now, SchemaVersion: 1, Pending: 1, PendingLimit: 100_000,
		Destinations: []pgadmin.DestinationStatus{{Destination: "default", Pending: 1, Oldest: now.Add(-20 * time.Minute)}},
		Shards:       shards(nil),
	}
}

func idle() pgadmin.Status {
	return pgadmin.Status{Now: now, SchemaVersion: 1, PendingLimit: 100_000, Shards: shards(nil)}
}

func TestStatusGolden(t *testing.T) {
	t.Parallel()
	for name, st := range map[string]pgadmin.Status{
		"healthy": healthy(), "troubled": troubled(), "unattended": unattended(), "idle": idle(),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			shown := view.NewStatus(&st)
			var text, color, object bytes.Buffer
			if err := shown.Text(&text, view.Style{}); err != nil {
				t.Fatal(err)
			}
			if err := shown.Text(&color, view.Style{Color: true}); err != nil {
				t.Fatal(err)
			}
			if err := view.JSON(&object, &shown); err != nil {
				t.Fatal(err)
			}
			golden(t, "status_"+name+".txt", text.Bytes())
			golden(t, "status_"+name+"_color.txt", color.Bytes())
			golden(t, "status_"+name+".json", object.Bytes())
			if bytes.ContainsRune(text.Bytes(), '\x1b') {
				t.Error("text without colour has an escape code")
			}
		})
	}
}

func TestEventGolden(t *testing.T) {
	t.Parallel()
	base := pgadmin.Location{
		ID: 42, EventID: event, Destination: "default", AggregateType: "order", AggregateID: "1234",
		EventType: "order.placed", Shard: 17, CreatedAt: now.Add(-125 * time.Second),
	}
	at := now.Add(-124 * time.Second)
	with := func(change func(l *pgadmin.Location)) pgadmin.Location {
		l := base
		change(&l)
		return l
	}
	for name, l := range map[string]pgadmin.Location{
		"pending":       with(func(l *pgadmin.Location) { l.State, l.Owner = pgadmin.Pending, "72f1c9c0-request" }),
		"pending_alone": with(func(l *pgadmin.Location) { l.State = pgadmin.Pending }),
		"blocked":       with(func(l *pgadmin.Location) { l.State, l.BlockedBy, l.BlockReason = pgadmin.Blocked, &other, "too large" }),
		"released":      with(func(l *pgadmin.Location) { l.State, l.BlockedBy, l.ReleasedAt = pgadmin.Blocked, &other, &at }),
		"sent": with(func(l *pgadmin.Location) {
			l.State, l.SentAt, l.MessageID, l.SequenceNumber = pgadmin.Sent, &at, "b1946ac9", "18870001"
		}),
		"swallowed": with(func(l *pgadmin.Location) {
			l.State, l.SentAt, l.MessageID, l.DuplicateOf = pgadmin.Sent, &at, "b1946ac9", 7
			l.Others = []pgadmin.Location{{State: pgadmin.Sent, ID: 7, EventID: event, MessageID: "b1946ac9"}}
		}),
		"archived": with(func(l *pgadmin.Location) {
			l.State, l.SentAt, l.MessageID, l.Replays = pgadmin.Archived, &at, "b1946ac9", 2
		}),
		"dead": with(func(l *pgadmin.Location) {
			l.State, l.DeadAt, l.Attempts, l.Code, l.Reason = pgadmin.Dead, &at, 20, "InvalidMessageContents", "refused\nfor good"
		}),
		"deleted": with(func(l *pgadmin.Location) {
			l.State, l.DeadAt, l.DeletedAt, l.Attempts, l.Code, l.Reason = pgadmin.Deleted, &at, &now, 20, "InvalidMessageContents", "refused"
		}),
		"replayed": with(func(l *pgadmin.Location) {
			l.State, l.Owner, l.Replays, l.ReplayOf = pgadmin.Pending, "72f1c9c0-request", 2, 7
			l.Others = []pgadmin.Location{{State: pgadmin.Archived, ID: 7, EventID: event}}
			l.Redrives = []pgadmin.Redriven{
				{RedrivenAt: at.Add(-time.Hour), Source: "dead_letters", RequestID: "ada", RowID: 7, Generation: 1, Destination: "default", Attempts: 3, Code: "MessageTooLong", Reason: "too long"},
				{RedrivenAt: at, Source: "replay", RequestID: "\x1b[31mada", RowID: 7, CopyID: 42, Generation: 2, Destination: "default"},
			}
		}),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var text, object bytes.Buffer
			if err := view.EventText(&text, view.Style{}, &l, now); err != nil {
				t.Fatal(err)
			}
			if err := view.JSON(&object, &l); err != nil {
				t.Fatal(err)
			}
			golden(t, "event_"+name+".txt", text.Bytes())
			golden(t, "event_"+name+".json", object.Bytes())
		})
	}
}

func TestCheckNamesEachLimitExceeded(t *testing.T) {
	t.Parallel()
	raw := troubled()
	for _, c := range []struct {
		name   string
		limits view.Limits
		want   []string
	}{
		{"at the limits", view.Limits{Age: 27 * time.Hour, DeadLetters: 3, Blocked: 1, Pending: 2000}, nil},
		{"no limits", view.Limits{Age: -1, DeadLetters: -1, Blocked: -1, Pending: -1}, nil},
		{"below", view.Limits{Age: 27*time.Hour - 1, DeadLetters: 2, Blocked: 0, Pending: 1999}, []string{"max_age", "max_dead_letters", "max_blocked", "max_pending"}},
		{"age only", view.Limits{Age: time.Minute, DeadLetters: 10, Blocked: 10, Pending: -1}, []string{"max_age"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			st := view.NewStatus(&raw)
			before := len(st.Problems)
			if ok := st.Check(c.limits); ok != (len(c.want) == 0) {
				t.Errorf("Check = %v", ok)
			}
			var got []string
			for _, p := range st.Problems[before:] {
				got = append(got, p.Code)
			}
			if len(got) != len(c.want) {
				t.Fatalf("problems = %v, want %v", got, c.want)
			}
			for i := range got {
				if got[i] != c.want[i] {
					t.Errorf("problems = %v, want %v", got, c.want)
				}
			}
		})
	}
}
