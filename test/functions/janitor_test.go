//go:build unix

package functions_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/serverless-outbox/serverless-outbox/internal/janitor"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest"
)

// The compiled janitor archives events in a PostgreSQL.
func TestTheJanitorArchivesAndReports(t *testing.T) {
	t.Parallel()
	pool := outboxtest.DB(t)
	for _, sql := range []string{
		"insert into outbox.events (aggregate_type, aggregate_id, event_type, payload) select 'order', i::text, 'x', '{}' from generate_series(1, 100) i",
		"update outbox.events set sent_at = now() - interval '25 hours', message_id = 'm'",
		"select setval('outbox.events_id_seq', 2000000)",
	} {
		if _, err := pool.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	f, output := function(t, "janitor", 30*time.Second, map[string]string{"OUTBOX_DATABASE_URL": pool.Config().ConnString()})
	response, err := f.Invoke(t.Context(), []byte(`{}`))
	if err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	var report janitor.Report
	if err = json.Unmarshal(response.Payload, &report); err != nil {
		t.Fatal(err)
	}
	if report.Archived != 1 || report.Dropped != 1 || report.More || len(report.Errors) != 0 || report.Health.PartitionsAhead < 3 {
		t.Errorf("report %s\n%s", response.Payload, output)
	}
	var archived int
	if err = pool.QueryRow(t.Context(), "select count(*) from outbox.archive").Scan(&archived); err != nil || archived != 100 {
		t.Errorf("%d archived, error %v", archived, err)
	}
	for _, want := range []string{`"CloudWatchMetrics"`, `"JanitorHeartbeat":1`, "janitor ended"} {
		if !output.writes(want) {
			t.Errorf("no %s in:\n%s", want, output)
		}
	}
	again, err := f.Invoke(t.Context(), []byte(`{}`))
	if err != nil || again.ColdStart != 0 {
		t.Errorf("second invocation in a process that took %s to start, error %v\n%s", again.ColdStart, err, output)
	}
}
