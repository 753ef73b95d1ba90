package outbox_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	_ "github.com/jackc/pgx/v5/stdlib"
	_ "github.com/lib/pq"
	"go.opentelemetry.io/otel/trace"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest"
)

func placed(id string) outbox.Event {
	return outbox.Event{AggregateType: "order", AggregateID: id, Type: "order.placed", Payload: json.RawMessage(`{"total": 12}`)}
}

type storedRow struct {
	id      int64
	eventID uuid.UUID
	event   outbox.Event
	headers *string
}

func stored(t *testing.T, pool *pgxpool.Pool) []storedRow {
	t.Helper()
	rows, err := pool.Query(t.Context(), `select id, event_id, aggregate_type, aggregate_id, event_type, destination, payload::text, headers::text from outbox.events order by id`)
	if err != nil {
		t.Fatal(err)
	}
	out, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (storedRow, error) {
		var s storedRow
		var payload string
		scanErr := r.Scan(&s.id, &s.eventID, &s.event.AggregateType, &s.event.AggregateID, &s.event.Type, &s.event.Destination, &payload, &s.headers)
		s.event.Payload = json.RawMessage(payload)
		return s, scanErr
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func begin(t *testing.T, pool *pgxpool.Pool) pgx.Tx {
	t.Helper()
	tx, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tx.Rollback(context.Background()) })
	return tx
}

// drivers runs f on a transaction of every driver and protocol mode.
func drivers(t *testing.T, f func(t *testing.T, pool *pgxpool.Pool, tx outbox.Tx)) {
	t.Helper()
	for _, mode := range []pgx.QueryExecMode{
		pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec,
		pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol,
	} {
		if (mode == pgx.QueryExecModeCacheStatement || mode == pgx.QueryExecModeDescribeExec) && outboxtest.Pooled() {
			continue // Neither keeps to one session of a pooler in transaction mode.
		}
		t.Run("pgx "+mode.String(), func(t *testing.T) {
			t.Parallel()
			pool := outboxtest.DB(t, outboxtest.ExecMode(mode))
			f(t, pool, begin(t, pool))
		})
	}
	for _, driver := range []string{"pgx", "postgres"} {
		t.Run("database/sql "+driver, func(t *testing.T) {
			t.Parallel()
			pool := outboxtest.DB(t)
			f(t, pool, outbox.SQL(beginSQL(t, driver, pool)))
		})
	}
}

func beginSQL(t *testing.T, driver string, pool *pgxpool.Pool) *sql.Tx {
	t.Helper()
	url := pool.Config().ConnString()
	if driver == "postgres" && !strings.Contains(url, "sslmode") {
		sep := "?"
		if strings.Contains(url, "?") {
			sep = "&"
		}
		url += sep + "sslmode=disable"
	}
	db, err := sql.Open(driver, url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tx.Rollback() })
	return tx
}

func TestEnqueueStoresEveryFieldAsWritten(t *testing.T) {
	t.Parallel()
	drivers(t, func(t *testing.T, pool *pgxpool.Pool, tx outbox.Tx) {
		t.Helper()
		odd := outbox.Event{
			EventID: uuid.New(), AggregateType: `a"b\c`, AggregateID: "{ü, 'x'},\t日本", Type: "NULL", Destination: "audit",
			Payload: json.RawMessage("{\"b\": 1,\n \"a\":\t\"\\\\\\\" é\"  }"),
			Headers: map[string]string{"k\"": `v\`, "b": "<&>"},
		}
		events := []outbox.Event{placed("1"), odd, placed("2")}
		ids, err := outbox.Enqueuer{LockAggregates: true}.Enqueue(t.Context(), tx, events...)
		if err != nil {
			t.Fatal(err)
		}
		if err := tx.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		got := stored(t, pool)
		if len(got) != len(events) {
			t.Fatalf("%d rows, want %d", len(got), len(events))
		}
		for i, g := range got {
			want := events[i]
			if g.eventID != ids[i] || want.EventID != uuid.Nil && g.eventID != want.EventID {
				t.Errorf("row %d has event id %s, returned %s, given %s", i, g.eventID, ids[i], want.EventID)
			}
			if want.Destination == "" {
				want.Destination = outbox.DefaultDestination
			}
			if g.event.AggregateType != want.AggregateType || g.event.AggregateID != want.AggregateID || g.event.Type != want.Type ||
				g.event.Destination != want.Destination || string(g.event.Payload) != string(want.Payload) {
				t.Errorf("row %d is %+v, want %+v", i, g.event, want)
			}
		}
		if got[0].eventID.Version() != 7 {
			t.Errorf("assigned id %s has version %d, want 7", got[0].eventID, got[0].eventID.Version())
		}
		if got[0].headers != nil {
			t.Errorf("headers %q were stored for an event without any", *got[0].headers)
		}
		if want := `{"b":"<&>","k\"":"v\\"}`; got[1].headers == nil || *got[1].headers != want {
			t.Errorf("headers are %v, want %s", got[1].headers, want)
		}
	})
}

func TestEnqueueSplitsManyEventsInOrder(t *testing.T) {
	t.Parallel()
	pool := outboxtest.DB(t)
	tx := begin(t, pool)
	events := make([]outbox.Event, 10_001)
	for i := range events {
		events[i] = placed(fmt.Sprint(i))
	}
	ids, err := outbox.Enqueue(t.Context(), tx, events...)
	if err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := stored(t, pool)
	if len(got) != len(events) {
		t.Fatalf("%d rows, want %d", len(got), len(events))
	}
	for i := range got {
		if got[i].eventID != ids[i] {
			t.Fatalf("row %d is event %s, want %s", i, got[i].eventID, ids[i])
		}
	}
}

func TestEnqueueWritesNothingWhenOneEventIsInvalid(t *testing.T) {
	t.Parallel()
	pool := outboxtest.DB(t)
	tx := begin(t, pool)
	bad := placed("2")
	bad.Payload, bad.Type = nil, ""
	_, err := outbox.Enqueue(t.Context(), tx, placed("1"), bad)
	var at *outbox.EventError
	if !errors.Is(err, outbox.ErrInvalid) || !errors.As(err, &at) || at.Index != 1 {
		t.Fatalf("error is %v, want ErrInvalid about event 1", err)
	}
	if !strings.Contains(err.Error(), "Payload: ") || !strings.Contains(err.Error(), "Type: ") {
		t.Errorf("error %q does not name both fields", err)
	}
	// The transaction goes on: nothing was sent to the server.
	if _, err := outbox.Enqueue(t.Context(), tx, placed("3")); err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := stored(t, pool); len(got) != 1 || got[0].event.AggregateID != "3" {
		t.Errorf("rows are %+v, want only aggregate 3", got)
	}
}

func TestDatabaseRefusalIsAnInvalidEvent(t *testing.T) {
	t.Parallel()
	drivers(t, func(t *testing.T, _ *pgxpool.Pool, tx outbox.Tx) {
		t.Helper()
		if _, err := tx.Exec(t.Context(), "alter table outbox.events add constraint no_tests check (event_type <> 'order.placed')"); err != nil {
			t.Fatal(err)
		}
		_, err := outbox.Enqueue(t.Context(), tx, placed("1"))
		if !errors.Is(err, outbox.ErrInvalid) || !strings.Contains(err.Error(), "no_tests") {
			t.Errorf("error is %v, want ErrInvalid that names the constraint", err)
		}
	})
}

// A transaction drew its ids, waited, and wrote its rows when their partition was about to be archived. The next
// transaction draws new ids.
func TestARowForASealedPartitionIsTakenWhenItIsTriedAgain(t *testing.T) {
	t.Parallel()
	drivers(t, func(t *testing.T, pool *pgxpool.Pool, tx outbox.Tx) {
		t.Helper()
		one := func(sql string) (text string) {
			if err := pool.QueryRow(t.Context(), sql).Scan(&text); err != nil {
				t.Fatal(err)
			}
			return text
		}
		one("select setval('outbox.events_id_seq', 3000000)::text")
		if got := one("select outbox.seal_partition(0, 'infinity')"); got != "done" {
			t.Fatalf("the partition is not sealed: %s", got)
		}
		one("select setval('outbox.events_id_seq', 1)::text")
		if _, err := outbox.Enqueue(t.Context(), tx, placed("1")); !errors.Is(err, outbox.ErrSealed) || errors.Is(err, outbox.ErrInvalid) {
			t.Errorf("error is %v, want ErrSealed and not ErrInvalid", err)
		}
		if _, err := outbox.EnqueueCopy(t.Context(), begin(t, pool), slices.Values([]outbox.Event{placed("1")})); !errors.Is(err, outbox.ErrSealed) {
			t.Errorf("copy: error is %v, want ErrSealed", err)
		}
		one("select setval('outbox.events_id_seq', 3000001)::text")
		if _, err := outbox.Enqueue(t.Context(), begin(t, pool), placed("1")); err != nil {
			t.Errorf("tried again: %v", err)
		}
	})
}

func TestEnqueueWithoutATransactionFails(t *testing.T) {
	t.Parallel()
	if _, err := outbox.Enqueue(t.Context(), (*pgxpool.Tx)(nil), placed("1")); !errors.Is(err, outbox.ErrNilTx) {
		t.Errorf("nil *pgxpool.Tx: %v", err)
	}
	if _, err := outbox.EnqueueCopy(t.Context(), (*pgxpool.Tx)(nil), slices.Values([]outbox.Event{placed("1")})); !errors.Is(err, outbox.ErrNilTx) {
		t.Errorf("nil *pgxpool.Tx: %v", err)
	}
	if _, err := outbox.Enqueue(t.Context(), nil, placed("1")); !errors.Is(err, outbox.ErrNilTx) {
		t.Errorf("nil Tx: %v", err)
	}
	if _, err := outbox.Enqueue(t.Context(), outbox.SQL(nil), placed("1")); !errors.Is(err, outbox.ErrNilTx) {
		t.Errorf("nil sql.Tx: %v", err)
	}
	if _, err := outbox.EnqueueCopy(t.Context(), nil, slices.Values([]outbox.Event{placed("1")})); !errors.Is(err, outbox.ErrNilTx) {
		t.Errorf("nil pgx.Tx: %v", err)
	}
}

func TestEnqueueInAClosedTransactionFails(t *testing.T) {
	t.Parallel()
	drivers(t, func(t *testing.T, _ *pgxpool.Pool, tx outbox.Tx) {
		t.Helper()
		if err := tx.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := outbox.Enqueue(t.Context(), tx, placed("1")); !errors.Is(err, outbox.ErrTxClosed) {
			t.Errorf("error is %v, want ErrTxClosed", err)
		}
	})
}

func TestEnqueueIntoAnUnmigratedDatabaseSaysSo(t *testing.T) {
	t.Parallel()
	pool := outboxtest.DB(t, outboxtest.Unmigrated())
	for name, tx := range map[string]outbox.Tx{"pgx": begin(t, pool), "lib/pq": outbox.SQL(beginSQL(t, "postgres", pool))} {
		if _, err := outbox.Enqueue(t.Context(), tx, placed("1")); !errors.Is(err, outbox.ErrNoSchema) {
			t.Errorf("%s: error is %v, want ErrNoSchema", name, err)
		}
	}
	if _, err := outbox.EnqueueCopy(t.Context(), begin(t, pool), slices.Values([]outbox.Event{placed("1")})); !errors.Is(err, outbox.ErrNoSchema) {
		t.Errorf("copy: error is %v, want ErrNoSchema", err)
	}
}

func TestEnqueueCopyStoresAStream(t *testing.T) {
	t.Parallel()
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeCacheStatement, pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol} {
		if mode == pgx.QueryExecModeCacheStatement && outboxtest.Pooled() {
			continue // Neither keeps to one session of a pooler in transaction mode.
		}
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			pool := outboxtest.DB(t, outboxtest.ExecMode(mode))
			tx := begin(t, pool)
			const count = 3000
			n, err := outbox.EnqueueCopy(t.Context(), tx, stream(count))
			if err != nil {
				t.Fatal(err)
			}
			if err := tx.Commit(t.Context()); err != nil {
				t.Fatal(err)
			}
			got := stored(t, pool)
			if n != count || len(got) != count {
				t.Fatalf("%d returned, %d rows, want %d", n, len(got), count)
			}
			for i, g := range got {
				if g.event.AggregateID != fmt.Sprint(i) || g.event.Destination != outbox.DefaultDestination || string(g.event.Payload) != `{"total": 12}` {
					t.Fatalf("row %d is %+v", i, g.event)
				}
			}
			if got[0].headers == nil || *got[0].headers != `{"n":"0"}` || got[1].headers != nil {
				t.Errorf("headers are %v and %v", got[0].headers, got[1].headers)
			}
		})
	}
}

func stream(count int) iter.Seq[outbox.Event] {
	return func(yield func(outbox.Event) bool) {
		for i := range count {
			e := placed(fmt.Sprint(i))
			if i%2 == 0 {
				e.Headers = map[string]string{"n": fmt.Sprint(i)}
			}
			if !yield(e) {
				return
			}
		}
	}
}

func TestEnqueueCopyNamesTheInvalidEvent(t *testing.T) {
	t.Parallel()
	pool := outboxtest.DB(t)
	bad := placed("2")
	bad.Payload = json.RawMessage(`{`)
	_, err := outbox.EnqueueCopy(t.Context(), begin(t, pool), slices.Values([]outbox.Event{placed("1"), bad}))
	var at *outbox.EventError
	if !errors.Is(err, outbox.ErrInvalid) || !errors.As(err, &at) || at.Index != 1 {
		t.Fatalf("error is %v, want ErrInvalid about event 1", err)
	}
	if got := stored(t, pool); len(got) != 0 {
		t.Errorf("%d rows were written", len(got))
	}
}

func TestTraceContextIsCapturedUnlessTheCallerSetIt(t *testing.T) {
	t.Parallel()
	pool := outboxtest.DB(t)
	state, err := trace.ParseTraceState("vendor=1")
	if err != nil {
		t.Fatal(err)
	}
	ctx := trace.ContextWithSpanContext(t.Context(), trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: trace.FlagsSampled, TraceState: state,
	}))
	tx := begin(t, pool)
	own := placed("2")
	own.Headers = map[string]string{"traceparent": "mine"}
	other := placed("3")
	other.Headers = map[string]string{"tenant": "x"}
	if _, err := outbox.Enqueue(ctx, tx, placed("1"), own, other); err != nil {
		t.Fatal(err)
	}
	if len(other.Headers) != 1 {
		t.Errorf("the caller's headers became %v", other.Headers)
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	const parent = `"traceparent":"00-01000000000000000000000000000000-0200000000000000-01"`
	want := []string{
		`{` + parent + `,"tracestate":"vendor=1"}`,
		`{"traceparent":"mine"}`,
		`{"tenant":"x",` + parent + `,"tracestate":"vendor=1"}`,
	}
	for i, g := range stored(t, pool) {
		if g.headers == nil || *g.headers != want[i] {
			t.Errorf("headers of row %d are %v, want %s", i, g.headers, want[i])
		}
	}
}

// TestLockedAggregateGetsIDsInCommitOrder holds the first writer open: the
// second may draw its ids only after the first has committed.
func TestLockedAggregateGetsIDsInCommitOrder(t *testing.T) {
	t.Parallel()
	pool := outboxtest.DB(t)
	writer := outbox.Enqueuer{LockAggregates: true}
	first, second := begin(t, pool), begin(t, pool)
	if _, err := writer.Enqueue(t.Context(), first, placed("a"), placed("b")); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := writer.Enqueue(t.Context(), second, placed("c"), placed("b"))
		if err == nil {
			err = second.Commit(t.Context())
		}
		done <- err
	}()
	waitForLock(t, pool, done)
	// Had the second drawn ids already, these would be greater than its own.
	if _, err := writer.Enqueue(t.Context(), first, placed("b")); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-done:
		t.Fatalf("the second writer did not wait: %v", err)
	default:
	}
	if err := first.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, g := range stored(t, pool) {
		got = append(got, g.event.AggregateID)
	}
	if want := []string{"a", "b", "b", "c", "b"}; !slices.Equal(got, want) {
		t.Errorf("aggregates in order of id are %v, want %v", got, want)
	}
}

func waitForLock(t *testing.T, pool *pgxpool.Pool, done <-chan error) {
	t.Helper()
	for {
		select {
		case err := <-done:
			t.Fatalf("the second writer did not wait: %v", err)
		default:
		}
		var waiting bool
		err := pool.QueryRow(t.Context(), `select exists (select from pg_locks l join pg_database d on d.oid = l.database
			where l.locktype = 'advisory' and not l.granted and d.datname = current_database())`).Scan(&waiting)
		if err != nil {
			t.Fatal(err)
		}
		if waiting {
			return
		}
	}
}

// TestLocksAreTakenInOneOrder has writers name the same aggregates in opposite
// orders; unordered locks would deadlock within a few of these rounds.
func TestLocksAreTakenInOneOrder(t *testing.T) {
	t.Parallel()
	pool := outboxtest.DB(t)
	forward := []outbox.Event{placed("a"), placed("b"), placed("c"), placed("d")}
	backward := slices.Clone(forward)
	slices.Reverse(backward)
	errs := make(chan error, 4)
	for w := range cap(errs) {
		events := forward
		if w%2 == 1 {
			events = backward
		}
		go func() {
			errs <- func() error {
				for range 50 {
					err := pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
						_, err := outbox.Enqueuer{LockAggregates: true}.Enqueue(t.Context(), tx, events...)
						return err
					})
					if err != nil {
						return err
					}
				}
				return nil
			}()
		}()
	}
	for range cap(errs) {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

// Two events with one event id would be one to the broker, and the second would be lost.
func TestEnqueueRefusesAnEventIDGivenTwice(t *testing.T) {
	t.Parallel()
	pool := outboxtest.DB(t)
	first, second := placed("1"), placed("2")
	first.EventID = uuid.New()
	second.EventID = first.EventID
	elsewhere := second
	elsewhere.Destination = "elsewhere"
	tx := begin(t, pool)
	_, err := outbox.Enqueue(t.Context(), tx, first, placed("3"), second)
	at, named := errors.AsType[*outbox.EventError](err)
	if !errors.Is(err, outbox.ErrInvalid) || !named || at.Index != 2 || !strings.Contains(err.Error(), "same id") {
		t.Errorf("error is %v, want ErrInvalid about event 2", err)
	}
	if _, err = outbox.Enqueue(t.Context(), tx, first, elsewhere); err != nil {
		t.Errorf("one event for two destinations: %v", err)
	}
	_, err = outbox.EnqueueCopy(t.Context(), tx, slices.Values([]outbox.Event{first, second}))
	if at, named = errors.AsType[*outbox.EventError](err); !errors.Is(err, outbox.ErrInvalid) || !named || at.Index != 1 {
		t.Errorf("copy: error is %v, want ErrInvalid about event 1", err)
	}
}
