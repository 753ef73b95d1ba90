package outbox_test

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest"
)

// verdict is an event, and whether it is to be taken. headers is what writers in SQL give for event.Headers, in a
// spelling that Go does not use.
type verdict struct {
	event   outbox.Event
	headers string
	taken   bool
}

// verdicts are events at the edges of what is taken.
func verdicts() map[string]verdict {
	out := map[string]verdict{}
	header := func(name, key, value, text string) {
		e := placed(name)
		e.Headers = map[string]string{key: value}
		out[name] = verdict{event: e, headers: text, taken: true}
	}
	header("escape in a header", "e", "\x1b[31m", `{"e":"\u001b[31m"}`)
	header("NUL in a header", "e", "a\x00b", `{"e":"a\u0000b"}`)
	header("NUL in a key", "\x00", "b", `{"\u0000":"b"}`)
	header("noncharacter in a header", "e", "\ufffe\uffff", `{"e":"\ufffe\uFFFF"}`)
	header("empty key", "", "v", `{"":"v"}`)
	header("empty value", "k", "", `{ "k" : "" }`)
	header("quotes and separators", `"k"&=;`, "a=b&c+d e%20\t\\", `{"\"k\"&=;":"a=b&c+d e%20\t\\"}`)
	header("emoji in a header", "🚚", "日本", `{"\ud83d\ude9a":"日本"}`)
	header("traceparent that is none", "traceparent", "\x1b", `{"traceparent":"\u001b"}`)
	payload := func(name, text string, taken bool) {
		e := placed(name)
		e.Payload = json.RawMessage(text)
		out[name] = verdict{event: e, taken: taken}
	}
	payload("escapes in the payload", `{"a":"\u0000\u001b\uffff\ud800"}`, true)
	payload("noncharacter in the payload", "\"\uffff\"", false)
	payload("control character in the payload", "\"\x01\"", false)
	payload("two values", `{} {}`, false)
	payload("number", "-0.5e-7\n", true)
	payload("4,000 levels", strings.Repeat(`{"a":[`, 2000)+strings.Repeat(`]}`, 2000), true)
	payload("4,001 levels", strings.Repeat(`[`, 4001)+strings.Repeat(`]`, 4001), false)
	payload("4,001 levels of objects", strings.Repeat(`{"\"[[":`, 4001)+`1`+strings.Repeat(`}`, 4001), false)
	payload("10,001 levels", strings.Repeat(`[`, 10_001)+strings.Repeat(`]`, 10_001), false)
	payload("towers side by side", `[`+strings.Repeat(strings.Repeat(`[`, 1500)+strings.Repeat(`]`, 1500)+`,`, 5)+`{}]`, true)
	payload("4,000 levels behind others", strings.Repeat(`[`, 2000)+`[{}],[],`+strings.Repeat(`[`, 2000)+strings.Repeat(`]`, 4000), true)
	payload("4,001 levels behind others", strings.Repeat(`[`, 2001)+`[{}],[],`+strings.Repeat(`[`, 2000)+strings.Repeat(`]`, 4001), false)
	payload("many brackets side by side", `[`+strings.Repeat(`{"a":[]},`, 9000)+`{}]`, true)
	payload("many brackets in a string", `["\\",{"\"`+strings.Repeat(`[{`, 9000)+`":"\\\"[[[["}]`, true)
	text := func(name string, change func(e *outbox.Event), taken bool) {
		e := placed(name)
		change(&e)
		out[name] = verdict{event: e, taken: taken}
	}
	text("control character in the id", func(e *outbox.Event) { e.AggregateID = "a\x1bb" }, false)
	text("noncharacter in the type", func(e *outbox.Event) { e.Type = "\ufffe" }, false)
	text("tab in the type", func(e *outbox.Event) { e.Type = "a\tb" }, true)
	text("no id", func(e *outbox.Event) { e.AggregateID = "" }, false)
	return out
}

// ways are how an event is written: by this package, and in SQL as other languages do it.
var ways = map[string]func(ctx context.Context, tx pgx.Tx, v verdict) error{
	"Enqueue": func(ctx context.Context, tx pgx.Tx, v verdict) error {
		_, err := outbox.Enqueue(ctx, tx, v.event)
		return err
	},
	"EnqueueCopy": func(ctx context.Context, tx pgx.Tx, v verdict) error {
		_, err := outbox.EnqueueCopy(ctx, tx, slices.Values([]outbox.Event{v.event}))
		return err
	},
	"outbox.enqueue": func(ctx context.Context, tx pgx.Tx, v verdict) error {
		_, err := tx.Exec(ctx, "select outbox.enqueue($1::text, $2::text, $3::text, $4::text::json, headers => nullif($5::text, '')::json)",
			v.event.AggregateType, v.event.AggregateID, v.event.Type, string(v.event.Payload), v.headers)
		return err
	},
	"insert": func(ctx context.Context, tx pgx.Tx, v verdict) error {
		_, err := tx.Exec(ctx, `insert into outbox.events (aggregate_type, aggregate_id, event_type, payload, headers)
			values ($1, $2, $3, $4::text::json, nullif($5::text, '')::json)`,
			v.event.AggregateType, v.event.AggregateID, v.event.Type, string(v.event.Payload), v.headers)
		return err
	},
	"copy": func(ctx context.Context, tx pgx.Tx, v verdict) error {
		var headers any
		if v.headers != "" {
			headers = []byte(v.headers)
		}
		_, err := tx.CopyFrom(ctx, pgx.Identifier{"outbox", "events"}, []string{"aggregate_type", "aggregate_id", "event_type", "payload", "headers"},
			pgx.CopyFromRows([][]any{{v.event.AggregateType, v.event.AggregateID, v.event.Type, []byte(v.event.Payload), headers}}))
		return err
	},
}

// What one way of writing takes every other takes too, and all that is taken is delivered as it was written. What is
// refused is refused as the fault of the event.
func TestOneVerdictForGoSQLAndCopy(t *testing.T) {
	t.Parallel()
	for way, write := range ways {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			pool := outboxtest.DB(t)
			want := map[uuid.UUID]string{}
			for name, v := range verdicts() {
				tx := begin(t, pool)
				err := write(t.Context(), tx, v)
				switch {
				case v.taken && err != nil:
					t.Errorf("%s: refused: %v", name, err)
				case !v.taken && err == nil:
					t.Errorf("%s: taken", name)
				case !v.taken && !refusedInGo(err) && (strings.HasPrefix(way, "Enqueue") || !refusedBySQL(err)):
					t.Errorf("%s: error is %v", name, err)
				}
				if err != nil {
					_ = tx.Rollback(t.Context())
					continue
				}
				if err = tx.Commit(t.Context()); err != nil {
					t.Fatal(err)
				}
				rows := stored(t, pool)
				want[rows[len(rows)-1].eventID] = name
			}
			var sink outboxtest.Sink
			if s := outboxtest.Drain(t, pool, map[string]outbox.Sink{outbox.DefaultDestination: &sink}); s.DeadLetters != 0 {
				t.Errorf("%d dead letters", s.DeadLetters)
			}
			delivered(t, want, sink.Messages())
		})
	}
}

// refusedInGo says whether err is that of an event that was not sent to the server.
func refusedInGo(err error) bool {
	_, ok := errors.AsType[*outbox.EventError](err)
	return ok && errors.Is(err, outbox.ErrInvalid)
}

// refusedBySQL says whether err is that of a constraint, or of a text that is not JSON.
func refusedBySQL(err error) bool {
	pgErr, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (pgErr.Code == "23514" || pgErr.Code == "22P02" || pgErr.Code == "54001")
}

// delivered fails the test unless there is a message for each verdict that want names by event id, and it says what
// was written, in attributes that brokers take.
func delivered(t *testing.T, want map[uuid.UUID]string, messages []outbox.Message) {
	t.Helper()
	all := verdicts()
	for _, m := range messages {
		id := uuid.MustParse(m.DeduplicationID)
		v := all[want[id]]
		if m.Body != string(v.event.Payload) {
			t.Errorf("%s: body is %.80q", want[id], m.Body)
		}
		var headers map[string]string
		for _, a := range m.Attributes {
			if strings.ContainsFunc(a.Value, refused) || a.Value == "" {
				t.Errorf("%s: brokers refuse the attribute %+q", want[id], a)
			}
			if a.Name == outbox.AttributeHeaders {
				headers = parsed(t, a.Value)
			}
		}
		if !maps.Equal(headers, v.event.Headers) {
			t.Errorf("%s: headers are %q, want %q", want[id], headers, v.event.Headers)
		}
		delete(want, id)
	}
	for _, name := range want {
		t.Errorf("%s: not delivered", name)
	}
}

// parsed reads the attribute headers as a consumer does.
func parsed(t *testing.T, text string) map[string]string {
	t.Helper()
	values, err := url.ParseQuery(text)
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	headers := make(map[string]string, len(values))
	for key, value := range values {
		headers[key] = value[0]
	}
	return headers
}

// FuzzOneVerdict holds Validate to the constraints of the table: both refuse an event, or neither does.
func FuzzOneVerdict(f *testing.F) {
	for _, v := range verdicts() {
		for key, value := range v.event.Headers {
			f.Add(v.event.AggregateID, v.event.Type, []byte(v.event.Payload), key, value)
		}
		f.Add(v.event.AggregateID, v.event.Type, []byte(v.event.Payload), "k", "v")
	}
	pool := outboxtest.DB(f, outboxtest.MaxConns(2))
	f.Fuzz(func(t *testing.T, id, typ string, payload []byte, key, value string) {
		if !utf8.ValidString(key + value) {
			return // JSON cannot say it, so SQL is never given it.
		}
		e := outbox.Event{AggregateType: "order", AggregateID: id, Type: typ, Payload: payload, Headers: map[string]string{key: value}}
		headers, err := json.Marshal(e.Headers)
		if err != nil {
			t.Fatal(err)
		}
		inGo := e.Validate()
		if len(headers) > outbox.MaxHeaderBytes && inGo == nil {
			return // json.Marshal escapes more than Enqueue does.
		}
		tx := begin(t, pool)
		inSQL := ways["insert"](t.Context(), tx, verdict{event: e, headers: string(headers)})
		_ = tx.Rollback(t.Context())
		if (inGo == nil) != (inSQL == nil) {
			t.Fatalf("Go: %v\nSQL: %v", inGo, inSQL)
		}
	})
}
