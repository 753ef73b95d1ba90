//go:build unix

package main

import (
	"context"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/serverless-outbox/serverless-outbox/internal/janitor"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/lambdahost"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest"
)

// The program as it is deployed, with PostgreSQL behind it.
func TestTheProgramArchivesAndReports(t *testing.T) {
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
	f, output := function(t, pool.Config().ConnString())
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
		if !output.Writes(want) {
			t.Errorf("no %s in:\n%s", want, output)
		}
	}
	again, err := f.Invoke(t.Context(), []byte(`{}`))
	if err != nil || again.Environment != response.Environment {
		t.Errorf("second invocation in environment %d, error %v\n%s", again.Environment, err, output)
	}
}

func TestTheProgramNamesWhatIsWrong(t *testing.T) {
	t.Parallel()
	for want, url := range map[string]string{
		"OUTBOX_DATABASE_URL": "",
		"cannot be reached":   "postgres://janitor:hush@127.0.0.1:1/app",
		"outbox migrate":      outboxtest.URL(t, outboxtest.Unmigrated()),
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			f, output := function(t, url)
			_, err := f.Invoke(t.Context(), []byte(`{}`))
			if err == nil || !strings.Contains(err.Error(), want) || !output.Writes(want) {
				t.Errorf("error %v, want one with %q\n%s", err, want, output)
			}
			if err != nil && strings.Contains(err.Error()+output.String(), "hush") {
				t.Errorf("the password is shown: %v\n%s", err, output)
			}
		})
	}
}

// function starts the program and returns it with what it wrote.
func function(t *testing.T, database string) (*lambdahost.Function, *lambdahost.Transcript) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "bootstrap")
	if built, err := exec.CommandContext(t.Context(), "go", "build", "-o", path, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, built)
	}
	var output lambdahost.Transcript
	f, err := lambdahost.New(lambdahost.Config{
		Binary:  path,
		Timeout: 30 * time.Second, InitTimeout: time.Minute,
		Memory: 256,
		Env: map[string]string{
			"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
			"OUTBOX_DATABASE_URL": database,
		},
		Output: output.Add,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := f.Close(ctx); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return f, &output
}
