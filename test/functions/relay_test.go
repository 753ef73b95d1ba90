//go:build unix

package functions_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest/awsfake"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

// The compiled relay carries events from a PostgreSQL to the fake of SQS.
func TestTheRelayCarriesEventsInOrder(t *testing.T) {
	t.Parallel()
	fake := broker(t, awsfake.Config{})
	url := queue(t, fake, "orders.fifo", nil)

	pool := outboxtest.DB(t)
	const aggregates, each = 10, 20
	for n := range each {
		tx, failed := pool.Begin(t.Context())
		if failed != nil {
			t.Fatal(failed)
		}
		for a := range aggregates {
			if _, err := outbox.Enqueue(t.Context(), tx, outbox.Event{
				AggregateType: "order", AggregateID: fmt.Sprint(a), Type: "order.changed", Payload: json.RawMessage(fmt.Sprint(n)),
			}); err != nil {
				t.Fatal(err)
			}
		}
		if err := tx.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
	}

	f, output := function(t, "relay", 30*time.Second, map[string]string{
		"AWS_ENDPOINT_URL":    fake.URL(),
		"OUTBOX_DATABASE_URL": pool.Config().ConnString(),
		"OUTBOX_DESTINATIONS": fmt.Sprintf(`{"default":%q}`, url),
		"OUTBOX_IDLE_EXIT":    "300ms",
	})
	response, err := f.Invoke(t.Context(), []byte(`{}`))
	if err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	var summary relay.Summary
	if err = json.Unmarshal(response.Payload, &summary); err != nil {
		t.Fatal(err)
	}
	if summary.Outcome != relay.Idle || summary.Published != aggregates*each || summary.Settled != aggregates*each {
		t.Errorf("summary %s\n%s", response.Payload, output)
	}
	next := map[string]int{}
	for a := range fake.History() {
		if a.Body != fmt.Sprint(next[a.GroupID]) {
			t.Errorf("group %s: body %s, want %d", a.GroupID, a.Body, next[a.GroupID])
		}
		next[a.GroupID]++
	}
	if len(next) != aggregates {
		t.Errorf("%d groups", len(next))
	}
	var unsent int
	if err = pool.QueryRow(t.Context(), `SELECT count(*) FROM outbox.events WHERE sent_at IS NULL`).Scan(&unsent); err != nil || unsent != 0 {
		t.Errorf("%d unsent, error %v", unsent, err)
	}
	if !output.writes(`"CloudWatchMetrics"`) {
		t.Errorf("no metrics in:\n%s", output)
	}
	// The environment is used again, with the connections it has.
	again, err := f.Invoke(t.Context(), []byte(`{}`))
	if err != nil || again.ColdStart != 0 {
		t.Errorf("second invocation in a process that took %s to start, error %v\n%s", again.ColdStart, err, output)
	}
}
