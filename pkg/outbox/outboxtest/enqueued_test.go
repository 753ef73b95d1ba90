package outboxtest_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/testingtb"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest"
)

func placed(id string) outbox.Event {
	return outbox.Event{
		AggregateType: "order", AggregateID: id, Type: "order.placed",
		Payload: json.RawMessage(`{"total": 12, "lines": [1, 2]}`), Headers: map[string]string{"tenant": "acme", "region": "eu"},
	}
}

func enqueue(t *testing.T, pool *pgxpool.Pool, events ...outbox.Event) {
	t.Helper()
	tx, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err = outbox.Enqueue(t.Context(), tx, events...); err != nil {
		t.Fatal(err)
	}
	if err = tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestEnqueuedReturnsEventsInTheOrderOfIDs(t *testing.T) {
	t.Parallel()
	pool := outboxtest.DB(t)
	if got := outboxtest.Enqueued(t, pool); len(got) != 0 {
		t.Fatalf("a new outbox has %d events", len(got))
	}
	enqueue(t, pool, placed("2"), placed("1"))
	got := outboxtest.Enqueued(t, pool)
	if len(got) != 2 || got[0].AggregateID != "2" || got[1].AggregateID != "1" || got[0].ID >= got[1].ID {
		t.Fatalf("Enqueued = %+v", got)
	}
	r := got[0]
	if string(r.Payload) != `{"total": 12, "lines": [1, 2]}` || r.Headers["tenant"] != "acme" || r.Destination != outbox.DefaultDestination ||
		r.CreatedAt.IsZero() || r.Shard < 0 || r.Shard >= outbox.Shards || r.Replays != 0 || r.ReplayOf != 0 {
		t.Errorf("the record is %+v", r)
	}
}

func TestEnqueuedSeesAnOpenTransactionOnlyThroughIt(t *testing.T) {
	t.Parallel()
	pool := outboxtest.DB(t)
	tx, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(t.Context()) }()
	if _, err = outbox.Enqueue(t.Context(), tx, placed("1")); err != nil {
		t.Fatal(err)
	}
	if inside, outside := len(outboxtest.Enqueued(t, tx)), len(outboxtest.Enqueued(t, pool)); inside != 1 || outside != 0 {
		t.Errorf("%d events through the transaction and %d through the pool, want 1 and 0", inside, outside)
	}
}

func TestRequireEnqueuedFindsByTheFieldsThatAreSet(t *testing.T) {
	t.Parallel()
	pool := outboxtest.DB(t)
	enqueue(t, pool, placed("1"), placed("2"))
	got := outboxtest.RequireEnqueued(t, pool, outbox.Event{AggregateID: "2"})
	for name, want := range map[string]outbox.Event{
		"event id":             {EventID: got.EventID},
		"all of it":            placed("2"),
		"payload":              {AggregateID: "2", Payload: json.RawMessage(`{"lines":[1,2],"total":12}`)},
		"one header":           {AggregateID: "2", Headers: map[string]string{"tenant": "acme"}},
		"destination and type": {AggregateID: "2", Destination: "default", Type: "order.placed", AggregateType: "order"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if r := outboxtest.RequireEnqueued(t, pool, want); r.EventID != got.EventID {
				t.Errorf("found event %s, want %s", r.EventID, got.EventID)
			}
		})
	}
}

func TestRequireEnqueuedSaysWhatIsThereAndWhatToDo(t *testing.T) {
	t.Parallel()
	pool, empty, unmigrated := outboxtest.DB(t), outboxtest.DB(t), outboxtest.DB(t, outboxtest.Unmigrated())
	enqueue(t, pool, placed("1"), placed("2"))
	for name, c := range map[string]struct {
		db    outboxtest.Queryer
		event outbox.Event
		want  []string
	}{
		"none is like it":      {pool, outbox.Event{AggregateID: "3"}, []string{"0 events are like {AggregateID=3}, want one", "AggregateID=1", "AggregateID=2"}},
		"two are like it":      {pool, outbox.Event{Type: "order.placed"}, []string{"2 events are like {Type=order.placed}, want one"}},
		"another payload":      {pool, outbox.Event{AggregateID: "1", Payload: json.RawMessage(`{"total":13}`)}, []string{"0 events"}},
		"another header":       {pool, outbox.Event{AggregateID: "1", Headers: map[string]string{"tenant": "x"}}, []string{"0 events"}},
		"another destination":  {pool, outbox.Event{AggregateID: "1", Destination: "audit"}, []string{"0 events"}},
		"nothing was enqueued": {empty, outbox.Event{AggregateID: "1"}, []string{"0 events", "enqueued are none: did the transaction commit?"}},
		"no field is set":      {pool, outbox.Event{}, []string{"no field set", "set its Type"}},
		"no JSON":              {pool, outbox.Event{Payload: json.RawMessage(`{`)}, []string{"want.Payload", "marshal it"}},
		"no database":          {nil, outbox.Event{AggregateID: "1"}, []string{"db is nil: pass the pool"}},
		"no outbox":            {unmigrated, outbox.Event{AggregateID: "1"}, []string{"no outbox", "outboxtest.DB", "pgstore.Migrate"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			expect(t, c.want, func(x *testingtb.T) { outboxtest.RequireEnqueued(x, c.db, c.event) })
		})
	}
}

// expect checks that f fails its test with a text that has each of want.
func expect(t *testing.T, want []string, f func(x *testingtb.T)) {
	t.Helper()
	got := testingtb.Failure(f)
	if got == "" {
		t.Fatal("the test passes, want a failure")
	}
	for _, text := range want {
		if !strings.Contains(got, text) {
			t.Errorf("the failure does not say %q:\n%s", text, got)
		}
	}
}
