package outboxtest_test

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/testingtb"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest"
)

// placeOrder is the code under test.
func placeOrder(ctx context.Context, db *pgxpool.Pool, id string, total int) error {
	return pgx.BeginFunc(ctx, db, func(tx pgx.Tx) error {
		_, err := outbox.Enqueue(ctx, tx, outbox.Event{
			AggregateType: "order", AggregateID: id, Type: "order.placed",
			Payload: json.RawMessage(fmt.Sprintf(`{"id": %q, "total": %d}`, id, total)),
		})
		return err
	})
}

// Assert that an event was enqueued. Fields of the event that are not set may
// have any value.
func ExampleRequireEnqueued() {
	t, end := testingtb.New() // a test has its own t, and no end
	defer end()

	db := outboxtest.DB(t)
	if err := placeOrder(t.Context(), db, "42", 12); err != nil {
		t.Fatal(err)
	}
	event := outboxtest.RequireEnqueued(t, db, outbox.Event{
		AggregateID: "42", Type: "order.placed", Payload: json.RawMessage(`{"total":12,"id":"42"}`),
	})

	fmt.Println(event.Destination)
	// Output: default
}

// Look at every event that was enqueued.
func ExampleEnqueued() {
	t, end := testingtb.New() // a test has its own t, and no end
	defer end()

	db := outboxtest.DB(t)
	for n := range 3 {
		if err := placeOrder(t.Context(), db, fmt.Sprint(n), 10*n); err != nil {
			t.Fatal(err)
		}
	}
	for _, event := range outboxtest.Enqueued(t, db) {
		fmt.Println(event.Type, string(event.Payload))
	}
	// Output:
	// order.placed {"id": "0", "total": 0}
	// order.placed {"id": "1", "total": 10}
	// order.placed {"id": "2", "total": 20}
}

// Carry the events of a test to their destinations. The sinks may be those of
// package sqssink or snssink in front of package awsfake as well.
func ExampleDrain() {
	t, end := testingtb.New() // a test has its own t, and no end
	defer end()

	db := outboxtest.DB(t)
	if err := placeOrder(t.Context(), db, "42", 12); err != nil {
		t.Fatal(err)
	}
	var orders outboxtest.Sink
	summary := outboxtest.Drain(t, db, map[string]outbox.Sink{"default": &orders})

	fmt.Println(summary.Published, "published")
	for _, message := range orders.Messages() {
		fmt.Println(message.GroupID, message.Body)
	}
	// Output:
	// 1 published
	// order:42 {"id": "42", "total": 12}
}
