package outboxtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

// Queryer is what events are read with: a pool or a connection sees the events of committed transactions, a [pgx.Tx]
// those of its own transaction as well.
type Queryer interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// enqueuedSQL also reads the dead letters: a relay moves them out of the table of events.
const enqueuedSQL = `
	select id, event_id, aggregate_type, aggregate_id, event_type, destination, payload::text, headers::text,
	       shard::integer, created_at, replays, coalesce(replay_of, 0)
	from (
		select id, event_id, aggregate_type, aggregate_id, event_type, destination, payload, headers,
		       shard, created_at, replays, replay_of
		from outbox.events
		union all
		select id, event_id, aggregate_type, aggregate_id, event_type, destination, payload, headers,
		       shard, created_at, replays, replay_of
		from outbox.dead_letters
	) as enqueued
	order by id`

// Enqueued returns every event in the outbox that was not archived, be it sent, unsent or a dead letter, in the order
// of ids. It fails the test when the events cannot be read, as in a database without the outbox.
func Enqueued(tb testing.TB, db Queryer) []outbox.Record {
	tb.Helper()
	if db == nil {
		tb.Fatal("db is nil: pass the pool, the connection or the transaction of the test")
	}
	rows, err := db.Query(tb.Context(), enqueuedSQL)
	if err != nil {
		fatalRead(tb, err)
	}
	records, err := pgx.CollectRows(rows, scanRecord)
	if err != nil {
		fatalRead(tb, err)
	}
	return records
}

// RequireEnqueued fails the test unless the outbox has exactly one event like want, and returns that event. An
// event is like want when it has the same value in each field that is set in want: the same JSON value as
// Payload, and at least the same Headers. A want with no field set fails the test.
func RequireEnqueued(tb testing.TB, db Queryer, want outbox.Event) outbox.Record {
	tb.Helper()
	if reflect.ValueOf(want).IsZero() {
		tb.Fatal("want has no field set, so that any event is like it: set its Type, or its AggregateType and AggregateID")
	}
	payload, err := decode(want.Payload)
	if err != nil {
		tb.Fatalf("want.Payload is not one JSON value: %v", err)
	}
	all := Enqueued(tb, db)
	var found []outbox.Record
	for i := range all {
		if like(&all[i], &want, payload) {
			found = append(found, all[i])
		}
	}
	if len(found) != 1 {
		tb.Fatalf("%d events are like %s, want one; enqueued are%s", len(found), describe(&want), list(all))
	}
	return found[0]
}

func scanRecord(row pgx.CollectableRow) (outbox.Record, error) {
	var r outbox.Record
	var payload string
	var headers *string
	err := row.Scan(&r.ID, &r.EventID, &r.AggregateType, &r.AggregateID, &r.Type, &r.Destination, &payload, &headers,
		&r.Shard, &r.CreatedAt, &r.Replays, &r.ReplayOf)
	if err != nil {
		return r, err //nolint:wrapcheck // the caller says what was read
	}
	r.Payload = json.RawMessage(payload)
	if headers != nil {
		err = json.Unmarshal([]byte(*headers), &r.Headers)
	}
	return r, err
}

func fatalRead(tb testing.TB, err error) {
	tb.Helper()
	if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok && pgErr.Code == "42P01" { // undefined_table
		tb.Fatalf("the database has no outbox: make it with outboxtest.DB, or run pgstore.Migrate: %v", err)
	}
	tb.Fatalf("read the outbox: %v", err)
}

// like reports whether got has every value that is set in want. payload is what decode returns for want.Payload, and is
// ignored when want.Payload is empty.
func like(got *outbox.Record, want *outbox.Event, payload any) bool {
	if want.EventID != uuid.Nil && got.EventID != want.EventID {
		return false
	}
	for _, field := range [...]struct{ got, want string }{
		{got.AggregateType, want.AggregateType},
		{got.AggregateID, want.AggregateID},
		{got.Type, want.Type},
		{got.Destination, want.Destination},
	} {
		if field.want != "" && field.got != field.want {
			return false
		}
	}
	for key, value := range want.Headers {
		if v, ok := got.Headers[key]; !ok || v != value {
			return false
		}
	}
	if len(want.Payload) == 0 {
		return true
	}
	stored, err := decode(got.Payload)
	return err == nil && reflect.DeepEqual(stored, payload)
}

// decode returns a JSON text as a Go value, with numbers as [json.Number], and nil for an empty text. It fails when
// the text is not one whole JSON value.
func decode(text json.RawMessage) (value any, err error) {
	if len(text) == 0 {
		return nil, nil //nolint:nilnil // no text is no value
	}
	if !json.Valid(text) {
		return nil, errors.New("marshal it with encoding/json")
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	return value, d.Decode(&value)
}

// describe returns an event in one line, without the fields that are not set, such as {Type=order.placed}.
func describe(e *outbox.Event) string {
	var b strings.Builder
	part := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, " %s=%s", name, value)
		}
	}
	if e.EventID != uuid.Nil {
		part("EventID", e.EventID.String())
	}
	part("AggregateType", e.AggregateType)
	part("AggregateID", e.AggregateID)
	part("Type", e.Type)
	part("Destination", e.Destination)
	part("Payload", string(e.Payload))
	if len(e.Headers) > 0 {
		part("Headers", fmt.Sprint(e.Headers))
	}
	return "{" + strings.TrimPrefix(b.String(), " ") + "}"
}

// listed is the most events that the message of a failed test lists.
const listed = 20

func list(all []outbox.Record) string {
	if len(all) == 0 {
		return " none: did the transaction commit?"
	}
	var b strings.Builder
	for i := range all {
		if i == listed {
			fmt.Fprintf(&b, "\n  and %d more", len(all)-listed)
			break
		}
		b.WriteString("\n  " + describe(&all[i].Event))
	}
	return b.String()
}
