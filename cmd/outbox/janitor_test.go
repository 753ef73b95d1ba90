package main_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/serverless-outbox/serverless-outbox/internal/janitor"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest"
)

func TestJanitorArchivesAndExports(t *testing.T) {
	t.Parallel()
	database := outboxtest.URL(t)
	conn := connect(t, database)
	for _, sql := range []string{
		"insert into outbox.events (aggregate_type, aggregate_id, event_type, payload) select 'order', i::text, 'x', '{}' from generate_series(1, 100) i",
		"update outbox.events set sent_at = now() - interval '40 days', message_id = 'm'",
		"select setval('outbox.events_id_seq', 1000000)",
	} {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	var report janitor.Report
	if err := json.Unmarshal([]byte(must(t, database, "janitor", "run")), &report); err != nil || report.Archived != 1 || report.Expired != 0 {
		t.Errorf("report %+v, %v", report, err)
	}
	if out := must(t, database, "archive", "list"); !strings.Contains(out, "outbox.archive_p000000") || strings.Count(out, "\n") != 2 {
		t.Errorf("list:\n%s", out)
	}
	dir := t.TempDir()
	if out := must(t, database, "archive", "export", "--partition", "0", "--to", dir); !strings.Contains(out, ": 100 rows") {
		t.Errorf("export: %q", out)
	}
	files, err := filepath.Glob(dir + "/archive_p000000/*.jsonl.gz")
	if err != nil || len(files) != 1 {
		t.Fatalf("files %v, %v", files, err)
	}
	if code, _, _ := run(t, database, "archive", "export", "--partition", "7", "--to", dir); code != 3 {
		t.Errorf("export of no partition: code %d, want 3", code)
	}
	// The files that are there already are the ones that it would write.
	before, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	out := must(t, database, "janitor", "run", "--archive-retention", "720h", "--export", dir)
	if err = json.Unmarshal([]byte(out), &report); err != nil || report.Expired != 1 || report.FileRows != 100 {
		t.Errorf("report %s, %v", out, err)
	}
	after, err := os.ReadFile(files[0])
	if err != nil || string(before) != string(after) {
		t.Errorf("the file changed: %v", err)
	}
	if out := must(t, database, "archive", "list", "--json"); out != "[]\n" {
		t.Errorf("list after it: %q", out)
	}
	if code, _, errs := run(t, database, "janitor", "run", "--export", dir); code != 2 || !strings.Contains(errs, "--archive-retention: is 0, so that nothing goes to --export") {
		t.Errorf("export without retention: code %d, %q", code, errs)
	}
}
