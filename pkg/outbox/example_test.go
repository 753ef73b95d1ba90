package outbox_test

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.opentelemetry.io/otel/trace"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/testingtb"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest"
)

// With pgx: the row and its event are written in one transaction.
func ExampleEnqueue() {
	t, end := testingtb.New()
	defer end()
	ctx, db := t.Context(), outboxtest.DB(t) // a *pgxpool.Pool
	if _, err := db.Exec(ctx, "create table orders (id text primary key, total int)"); err != nil {
		panic(err)
	}

	err := pgx.BeginFunc(ctx, db, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "insert into orders (id, total) values ('42', 12)"); err != nil {
			return err
		}
		_, err := outbox.Enqueue(ctx, tx, outbox.Event{
			AggregateType: "order", AggregateID: "42", Type: "order.placed",
			Payload: json.RawMessage(`{"total": 12}`),
		})
		return err
	})
	if err != nil {
		panic(err)
	}

	for _, event := range outboxtest.Enqueued(t, db) {
		fmt.Println(event.Type, string(event.Payload))
	}
	// Output: order.placed {"total": 12}
}

// With database/sql: wrap the transaction. A driver of any name will do that
// takes $1 parameters.
func ExampleSQL() {
	t, end := testingtb.New()
	defer end()
	ctx := t.Context()
	db, err := sql.Open("pgx", outboxtest.URL(t, outboxtest.Direct()))
	if err != nil {
		panic(err)
	}
	defer func() { _ = db.Close() }()

	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		panic(err)
	}
	defer func() { _ = tx.Rollback() }()
	ids, err := outbox.Enqueue(ctx, outbox.SQL(tx),
		outbox.Event{AggregateType: "order", AggregateID: "42", Type: "order.placed", Payload: json.RawMessage(`{"total": 12}`)},
		outbox.Event{AggregateType: "order", AggregateID: "42", Type: "order.paid", Payload: json.RawMessage(`{}`)},
	)
	if err != nil {
		panic(err)
	}
	if err = tx.Commit(); err != nil {
		panic(err)
	}

	var types string
	if err = db.QueryRowContext(ctx, "select string_agg(event_type, ', ' order by id) from outbox.events").Scan(&types); err != nil {
		panic(err)
	}
	fmt.Println(len(ids), types)
	// Output: 2 order.placed, order.paid
}

// For bulk: the events come from an iterator and go to the server by COPY, so
// that memory does not grow with their number.
func ExampleEnqueueCopy() {
	t, end := testingtb.New()
	defer end()
	ctx, db := t.Context(), outboxtest.DB(t)

	var imported iter.Seq[outbox.Event] = func(yield func(outbox.Event) bool) {
		for n := range 10_000 {
			event := outbox.Event{
				AggregateType: "order", AggregateID: fmt.Sprint(n % 100), Type: "order.imported",
				Payload: json.RawMessage(fmt.Sprintf(`{"n": %d}`, n)),
			}
			if !yield(event) {
				return
			}
		}
	}
	var n int64
	err := pgx.BeginFunc(ctx, db, func(tx pgx.Tx) (err error) {
		n, err = outbox.EnqueueCopy(ctx, tx, imported)
		return err
	})
	if err != nil {
		panic(err)
	}
	fmt.Println(n, "events")
	// Output: 10000 events
}

// Two transactions write events of one order. With LockAggregates the second
// waits until the first has committed, so that the events are published in the
// order of commit.
func ExampleEnqueuer() {
	t, end := testingtb.New()
	defer end()
	ctx, db := t.Context(), outboxtest.DB(t)
	writer := outbox.Enqueuer{LockAggregates: true}
	event := func(name string) outbox.Event {
		return outbox.Event{AggregateType: "order", AggregateID: "42", Type: name, Payload: json.RawMessage(`{}`)}
	}

	first, err := db.Begin(ctx)
	if err != nil {
		panic(err)
	}
	defer func() { _ = first.Rollback(ctx) }()
	if _, err = writer.Enqueue(ctx, first, event("order.placed")); err != nil {
		panic(err)
	}
	second := make(chan error)
	go func() {
		second <- pgx.BeginFunc(ctx, db, func(tx pgx.Tx) error {
			_, secondErr := writer.Enqueue(ctx, tx, event("order.paid")) // waits for first
			return secondErr
		})
	}()
	if _, err = writer.Enqueue(ctx, first, event("order.confirmed")); err != nil {
		panic(err)
	}
	if err = first.Commit(ctx); err != nil {
		panic(err)
	}
	if err = <-second; err != nil {
		panic(err)
	}

	for _, e := range outboxtest.Enqueued(t, db) {
		fmt.Println(e.Type)
	}
	// Output:
	// order.placed
	// order.confirmed
	// order.paid
}

// A fault of any event refuses all of them, and each says what is wrong.
func ExampleEventError() {
	t, end := testingtb.New()
	defer end()
	ctx, db := t.Context(), outboxtest.DB(t)

	err := pgx.BeginFunc(ctx, db, func(tx pgx.Tx) error {
		_, err := outbox.Enqueue(ctx, tx,
			outbox.Event{AggregateType: "order", AggregateID: "42", Type: "order.placed", Payload: json.RawMessage(`{}`)},
			outbox.Event{AggregateType: "order", AggregateID: "43", Payload: json.RawMessage(`{}`)},
		)
		return err
	})
	if fault, ok := errors.AsType[*outbox.EventError](err); ok && errors.Is(err, outbox.ErrInvalid) {
		fmt.Println(fault.Index, fault.Err)
	}
	fmt.Println(len(outboxtest.Enqueued(t, db)), "events")
	// Output:
	// 1 Type: is required: set it
	// 0 events
}

// The trace context of ctx travels in the headers, so that the consumer's span
// has the writer's as its parent.
func Example_traceContext() {
	t, end := testingtb.New()
	defer end()
	db := outboxtest.DB(t)

	// A tracer does this: ctx, span := tracer.Start(ctx, "place order").
	ctx := trace.ContextWithSpanContext(t.Context(), trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{0x4b, 0xf9}, SpanID: trace.SpanID{0x7a}, TraceFlags: trace.FlagsSampled,
	}))
	err := pgx.BeginFunc(ctx, db, func(tx pgx.Tx) error {
		_, err := outbox.Enqueue(ctx, tx, outbox.Event{
			AggregateType: "order", AggregateID: "42", Type: "order.placed", Payload: json.RawMessage(`{}`),
		})
		return err
	})
	if err != nil {
		panic(err)
	}

	fmt.Println(outboxtest.Enqueued(t, db)[0].Headers[outbox.HeaderTraceparent])
	// Output: 00-4bf90000000000000000000000000000-7a00000000000000-01
}

// The message that a broker gets, and so a consumer.
func ExampleEncode() {
	message, err := outbox.Encode(&outbox.Record{
		ID:        1234,
		CreatedAt: time.Date(2026, 11, 23, 21, 0, 0, 0, time.UTC),
		Event: outbox.Event{
			EventID:       uuid.MustParse("0192f0c1-2345-7abc-8def-0123456789ab"),
			AggregateType: "order", AggregateID: "42", Type: "order.placed",
			Payload: json.RawMessage(`{"total": 12}`),
		},
	})
	if err != nil {
		panic(err)
	}
	fmt.Println("group", message.GroupID)
	fmt.Println("deduplication", message.DeduplicationID)
	fmt.Println("body", message.Body)
	for _, a := range message.Attributes {
		fmt.Println(a.Name, a.Value)
	}
	// Output:
	// group order:42
	// deduplication 0192f0c1-2345-7abc-8def-0123456789ab
	// body {"total": 12}
	// aggregate_id 42
	// aggregate_type order
	// created_at 2026-11-23T21:00:00Z
	// event_id 0192f0c1-2345-7abc-8def-0123456789ab
	// event_type order.placed
	// sequence 1234
}

// Every fault of an event is named at once.
func ExampleEvent_Validate() {
	event := outbox.Event{AggregateType: "order", Type: "order.placed", Payload: json.RawMessage(`{"total":`)}
	fmt.Println(event.Validate())
	// Output:
	// AggregateID: is required: set it
	// Payload: is not one valid JSON value: marshal it with encoding/json
}

// A group id is the aggregate, readable where a broker takes it as it is, and
// hashed where it does not.
func ExampleGroupID() {
	fmt.Println(outbox.GroupID("order", "42"))
	fmt.Println(outbox.GroupID("order", "nº 42"))
	// Output:
	// order:42
	// #0cd8649decc321c6c5d44444feb2b9c27110e8c54606ae04689a4436168dda3a
}
