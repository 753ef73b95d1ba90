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
    consumer    text not null,
    event_id    uuid not null,
    received_at timestamptz not null default now(),
    primary key (consumer, event_id)
);

create table states (
    aggregate_type text not null,
    aggregate_id   text not null,
    total          bigint not null,
    position       bigint not null,
    primary key (aggregate_type, aggregate_id)
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

// parse returns what a consumer needs of a message. It fails for one without the attributes of an event, which is mostly
// one of a subscription without raw message delivery.
func parse(body string, attributes map[string]string) (delivery, error) {
	for _, name := range []string{"event_id", "aggregate_type", "aggregate_id", "sequence"} {
		if attributes[name] == "" {
			return delivery{}, fmt.Errorf("message without the attribute %s: does its subscription have raw message delivery?", name)
		}
	}
	return delivery{Attributes: attributes, Body: []byte(body)}, nil
}

// sendEmail is work that may be done once for an event, whenever it comes.
func sendEmail(ctx context.Context, db *pgx.Conn, d delivery) error {
	return pgx.BeginFunc(ctx, db, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, "insert into inbox (consumer, event_id) values ('emails', $1) on conflict do nothing", d.Attributes["event_id"])
		if err != nil || tag.RowsAffected() == 0 {
			return err // without an error it is known: delete the message
		}
		_, err = tx.Exec(ctx, "insert into emails (order_id, total) select $1, (j->>'total')::bigint from (select $2::json) as b (j)",
			d.Attributes["aggregate_id"], string(d.Body))
		return err
	})
}

// keepState keeps the last state of an aggregate: an older event changes nothing.
func keepState(ctx context.Context, db *pgx.Conn, d delivery) error {
	position := d.Attributes["sequence"]
	if original, replayed := d.Attributes["outbox-replay"]; replayed {
		position = original
	}
	_, err := db.Exec(ctx, `
		insert into states as s (aggregate_type, aggregate_id, total, position)
		select $1, $2, (j->>'total')::bigint, $4::text::bigint from (select $3::json) as b (j)
		on conflict (aggregate_type, aggregate_id) do update set total = excluded.total, position = excluded.position
		where s.position < excluded.position`,
		d.Attributes["aggregate_type"], d.Attributes["aggregate_id"], string(d.Body), position)
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

	placed, paid, changed, again, billed := uuid.New(), uuid.New(), uuid.New(), uuid.New(), uuid.New()
	record := func(id int64, event uuid.UUID, total int) outbox.Record {
		return outbox.Record{ID: id, Era: 10, CreatedAt: time.Now(), Event: outbox.Event{
			EventID: event, AggregateType: "order", AggregateID: "42", Type: "order.changed",
			Payload: json.RawMessage(fmt.Sprintf(`{"total": %d}`, total)),
		}}
	}
	resent := record(1, placed, 10)
	redriven := record(2, paid, 20)
	redriven.Replays = 1
	replayed := record(9, placed, 10)
	replayed.Replays, replayed.ReplayOf = 1, 1
	failedOver := record(2, again, 40)
	failedOver.Era = 20
	invoice := record(4, billed, 99)
	invoice.AggregateType = "invoice"
	for _, step := range []struct {
		what   string
		record outbox.Record
	}{
		{"first", record(1, placed, 10)},
		{"sent again after more than five minutes", resent},
		{"a later one, while the second is dead", record(3, changed, 30)},
		{"the second, redriven", redriven},
		{"the first, replayed", replayed},
		{"the second id again, after a failover that lost commits", failedOver},
		{"an invoice of the same number", invoice},
	} {
		message, encodeErr := outbox.Encode(&step.record)
		if encodeErr != nil {
			panic(encodeErr)
		}
		attributes := map[string]string{}
		for _, a := range message.Attributes {
			attributes[a.Name] = a.Value
		}
		d, parseErr := parse(message.Body, attributes)
		if parseErr != nil {
			panic(parseErr)
		}
		if err = sendEmail(ctx, db, d); err != nil {
			panic(err)
		}
		if err = keepState(ctx, db, d); err != nil {
			panic(err)
		}
		var emails, total, position int
		if err = db.QueryRow(ctx, `select (select count(*) from emails), total, position from states where aggregate_type = 'order'`).Scan(&emails, &total, &position); err != nil {
			panic(err)
		}
		fmt.Printf("%s: %d emails, the order is at %d with a total of %d\n", step.what, emails, position, total)
	}
	_, err = parse(`{"Type": "Notification", "Message": "{}"}`, nil)
	fmt.Println(err)
	// Output:
	// first: 1 emails, the order is at 10000000000001 with a total of 10
	// sent again after more than five minutes: 1 emails, the order is at 10000000000001 with a total of 10
	// a later one, while the second is dead: 2 emails, the order is at 10000000000003 with a total of 30
	// the second, redriven: 3 emails, the order is at 10000000000003 with a total of 30
	// the first, replayed: 3 emails, the order is at 10000000000003 with a total of 30
	// the second id again, after a failover that lost commits: 4 emails, the order is at 20000000000002 with a total of 40
	// an invoice of the same number: 5 emails, the order is at 20000000000002 with a total of 40
	// message without the attribute event_id: does its subscription have raw message delivery?
}
