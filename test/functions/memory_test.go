//go:build linux

package functions_test

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/lambdahost"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest/awsfake"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

// smallestMB is the least RelayMemory that template.yaml takes.
const smallestMB = 128

// writeOfSize writes n events with payloads of about the given size, each of an aggregate of its own, in one
// transaction. Half of the characters are quotes, which a request writes with two bytes.
func writeOfSize(t *testing.T, pool *pgxpool.Pool, n, bytes int) {
	t.Helper()
	const sql = `insert into outbox.events (aggregate_type, aggregate_id, event_type, payload)
		select 'order', $3::text || i, 'order.changed', ('[' || repeat('"",', $2::integer) || '""]')::json
		from generate_series(1, $1::integer) i`
	if _, err := pool.Exec(t.Context(), sql, n, (bytes-4)/3, fmt.Sprint(bytes, "/")); err != nil {
		t.Fatal(err)
	}
}

// drained invokes the relay until it is idle, wants it to have published n events, and returns the most memory that its
// process has had, in bytes.
func drained(t *testing.T, f *lambdahost.Function, output *transcript, n int64) int64 {
	t.Helper()
	type answer struct {
		response lambdahost.Response
		err      error
	}
	done := make(chan answer, 1)
	go func() {
		response, err := f.Invoke(t.Context(), []byte(`{}`))
		done <- answer{response, err}
	}()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	pid := 0
	for {
		select {
		case <-tick.C:
			if running := f.Running(); len(running) > 0 {
				pid = running[0].PID
			}
			continue
		case a := <-done:
			var summary relay.Summary
			if a.err == nil {
				a.err = json.Unmarshal(a.response.Payload, &summary)
			}
			if a.err != nil || summary.Outcome != relay.Idle || summary.Published != n || summary.Settled != n {
				t.Fatalf("summary %s, error %v\n%s", a.response.Payload, a.err, output)
			}
		}
		return peak(t, pid)
	}
}

// peak returns the most memory that a process has had since it was started, in bytes.
func peak(t *testing.T, pid int) int64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if text, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(text), " kB"), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return kb << 10
		}
	}
	t.Fatalf("no peak in %s", status)
	return 0
}

// The relay with the least memory drains the largest events, those that wait when it starts, and those that follow on
// many small ones.
func TestTheSmallestRelayDrainsTheLargestEvents(t *testing.T) {
	t.Parallel()
	fake := broker(t, awsfake.Config{})
	pool := outboxtest.DB(t)
	f, output := function(t, "relay", 5*time.Minute, map[string]string{
		"AWS_ENDPOINT_URL":                fake.URL(),
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": strconv.Itoa(smallestMB),
		"OUTBOX_DATABASE_URL":             pool.Config().ConnString(),
		"OUTBOX_DESTINATIONS":             fmt.Sprintf(`{"default":%q}`, queue(t, fake, "orders.fifo", nil)),
		"OUTBOX_IDLE_EXIT":                "300ms",
	})
	const large = 1_000_000
	writeOfSize(t, pool, 40, large)
	cold := drained(t, f, output, 40)
	writeOfSize(t, pool, 3_000, 100)
	writeOfSize(t, pool, 60, large)
	warm := drained(t, f, output, 3_060)
	t.Logf("%d MiB at most after the first run, %d MiB after the second", cold>>20, warm>>20)
	if limit := int64(smallestMB) << 20; warm >= limit {
		t.Errorf("the relay had %d bytes of memory, of %d", warm, limit)
	}
}
