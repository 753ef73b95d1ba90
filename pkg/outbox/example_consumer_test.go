package outbox_test

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/testingtb"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest"
)

const consumerTables = `
create table inbox (
    event_id    uuid primary key,
    received_at timestamptz not null default now()
);

create table orders (
    order_id text primary key,
    total    bigint not null,
    position bigint not null
);

create table emails (
    email_id bigint generated always as identity primary key,
    order_id text not null,
    total    bigint not null
);`

// delivery is what a consumer needs of a message.
type delivery struct {
	Attributes map[string]string
	Body       []byte
}

// sendEmail is work that may be done once for an event, whenever it comes.
func sendEmail(ctx context.Context, db *pgx.Conn, d delivery) error {
	return pgx.BeginFunc(ctx, db, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, "insert into inbox (event_id) values ($1) on conflict do nothing", d.Attributes["event_id"])
		if err != nil || tag.RowsAffected() == 0 {
			return err // without an error it is known: delete the message
		}
		_, err = tx.Exec(ctx, "insert into emails (order_id, total) select $1, (j->>'total')::bigint from (select $2::json) as b (j)",
			d.Attributes["aggregate_id"], string(d.Body))
		return err
	})
}

// keepOrder keeps the last state of an order: an older event changes nothing.
func keepOrder(ctx context.Context, db *pgx.Conn, d delivery) error {
	position := d.Attributes["sequence"]
	if original, replayed := d.Attributes["outbox-replay"]; replayed {
		position = original
	}
	_, err := db.Exec(ctx, `
		insert into orders as o (order_id, total, position)
		select $1, (j->>'total')::bigint, $3::text::bigint from (select $2::json) as b (j)
		on conflict (order_id) do update set total = excluded.total, position = excluded.position
		where o.position < excluded.position`, d.Attributes["aggregate_id"], string(d.Body), position)
	return err
}

// Consumers that take each event once, or keep the last state, and what
// duplicates, redriven events and replays do to them.
func Example_consumer() {
	t, end := testingtb.New()
	defer end()
	ctx := t.Context()
	db, err := pgx.Connect(ctx, outboxtest.URL(t, outboxtest.Direct()))
	if err != nil {
		panic(err)
	}
	defer func() { _ = db.Close(ctx) }()
	if _, err = db.Exec(ctx, consumerTables); err != nil {
		panic(err)
	}

	placed, paid, changed := uuid.New(), uuid.New(), uuid.New()
	record := func(id int64, event uuid.UUID, total int) outbox.Record {
		return outbox.Record{ID: id, CreatedAt: time.Now(), Event: outbox.Event{
			EventID: event, AggregateType: "order", AggregateID: "42", Type: "order.changed",
			Payload: json.RawMessage(fmt.Sprintf(`{"total": %d}`, total)),
		}}
	}
	resent := record(1, placed, 10)
	redriven := record(2, paid, 20)
	redriven.Replays = 1
	replayed := record(9, placed, 10)
	replayed.Replays, replayed.ReplayOf = 1, 1
	for _, step := range []struct {
		what   string
		record outbox.Record
	}{
		{"first", record(1, placed, 10)},
		{"sent again after more than five minutes", resent},
		{"a later one, while the second is dead", record(3, changed, 30)},
		{"the second, redriven", redriven},
		{"the first, replayed", replayed},
	} {
		message, encodeErr := outbox.Encode(&step.record)
		if encodeErr != nil {
			panic(encodeErr)
		}
		d := delivery{Attributes: map[string]string{}, Body: []byte(message.Body)}
		for _, a := range message.Attributes {
			d.Attributes[a.Name] = a.Value
		}
		if err = sendEmail(ctx, db, d); err != nil {
			panic(err)
		}
		if err = keepOrder(ctx, db, d); err != nil {
			panic(err)
		}
		var emails, total, position int
		if err = db.QueryRow(ctx, "select (select count(*) from emails), total, position from orders").Scan(&emails, &total, &position); err != nil {
			panic(err)
		}
		fmt.Printf("%s: %d emails, the order is at %d with a total of %d\n", step.what, emails, position, total)
	}
	// Output:
	// first: 1 emails, the order is at 1 with a total of 10
	// sent again after more than five minutes: 1 emails, the order is at 1 with a total of 10
	// a later one, while the second is dead: 2 emails, the order is at 3 with a total of 30
	// the second, redriven: 3 emails, the order is at 3 with a total of 30
	// the first, replayed: 3 emails, the order is at 3 with a total of 30
}
