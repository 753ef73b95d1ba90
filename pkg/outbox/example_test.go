package outbox_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

func ExampleEnqueue() {
	ctx := context.Background()
	url, drop := exampleDatabase(ctx)
	defer drop()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		panic(err)
	}
	defer func() { _ = conn.Close(ctx) }()

	if _, err = conn.Exec(ctx, "create table orders (id text primary key, total int)"); err != nil {
		panic(err)
	}

	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		_, txErr := tx.Exec(ctx, "insert into orders (id, total) values ('42', 12)")
		if txErr != nil {
			return txErr
		}
		_, txErr = outbox.Enqueue(ctx, tx, outbox.Event{
			AggregateType: "order", AggregateID: "42", Type: "order.placed",
			Payload: json.RawMessage(`{"total": 12}`),
		})
		return txErr
	})
	if err != nil {
		panic(err)
	}

	var payload string
	if err = conn.QueryRow(ctx, "select payload::text from outbox.events where aggregate_id = '42'").Scan(&payload); err != nil {
		panic(err)
	}
	fmt.Println(payload)
	// Output: {"total": 12}
}

func ExampleSQL() {
	ctx := context.Background()
	url, drop := exampleDatabase(ctx)
	defer drop()
	db, err := sql.Open("pgx", url)
	if err != nil {
		panic(err)
	}
	defer func() { _ = db.Close() }()

	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		panic(err)
	}
	defer func() { _ = tx.Rollback() }()
	writer := outbox.Enqueuer{LockAggregates: true}
	ids, err := writer.Enqueue(ctx, outbox.SQL(tx),
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

func ExampleEvent_Validate() {
	event := outbox.Event{AggregateType: "order", Type: "order.placed", Payload: json.RawMessage(`{"total":`)}
	fmt.Println(event.Validate())
	// Output:
	// AggregateID: is required: set it
	// Payload: is not one valid JSON value: marshal it with encoding/json
}

func ExampleGroupID() {
	fmt.Println(outbox.GroupID("order", "42"))
	fmt.Println(outbox.GroupID("order", "nº 42"))
	// Output:
	// order:42
	// #0cd8649decc321c6c5d44444feb2b9c27110e8c54606ae04689a4436168dda3a
}
