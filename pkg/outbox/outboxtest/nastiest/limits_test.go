package nastiest_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest/history"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/snssink"
)

// sized writes an event whose message has exactly size bytes, attributes
// included. Those hold the row's id and time, so the payload is cut to measure
// once the row is there.
func (w *world) sized(aggregate, destination string, size int) {
	w.t.Helper()
	x := w.begin(w.pool)
	x.write(event(aggregate, destination, `{}`))
	rec := outbox.Record{ID: x.events[0].Row}
	err := x.tx.QueryRow(w.t.Context(), "select event_id, aggregate_type, aggregate_id, event_type, destination, created_at from outbox.events where id = $1", rec.ID).
		Scan(&rec.EventID, &rec.AggregateType, &rec.AggregateID, &rec.Type, &rec.Destination, &rec.CreatedAt)
	if err != nil {
		w.t.Fatal(err)
	}
	rec.Payload = json.RawMessage(`""`)
	empty, err := outbox.Encode(&rec)
	if err != nil {
		w.t.Fatal(err)
	}
	rec.Payload = json.RawMessage(`"` + strings.Repeat("x", size-empty.Size) + `"`)
	if got, err := outbox.Encode(&rec); err != nil || got.Size != size {
		w.t.Fatalf("size = %d, %v, want %d", got.Size, err, size)
	}
	if _, err := x.tx.Exec(w.t.Context(), "update outbox.events set payload = $2::text::json where id = $1", rec.ID, string(rec.Payload)); err != nil {
		w.t.Fatal(err)
	}
	x.events[0].Sum = history.Sum(rec.Payload)
	x.commit()
}

// One byte decides, for the broker as for us.
func TestMessagesAtTheExactByteLimit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.topic("topic")
	w.queue("small", 4096, relay.Skip, map[string]string{"MaximumMessageSize": "4096"})
	w.queue("set", 0, relay.Skip, map[string]string{"MaximumMessageSize": "4096"})
	limits := map[string]int{"topic": snssink.DefaultMaxBytes, "small": 4096, "set": 4096}
	r := w.start(w.pool, nil)
	for destination, limit := range limits {
		w.sized("fits", destination, limit)
		w.sized("too large", destination, limit+1)
		// Ten of the largest do not fit into one batch of a topic.
		for i := range 10 {
			w.sized(name("a", i), destination, limit)
		}
		w.commit(event("too large", destination, `{}`))
	}
	w.rest()
	r.stop()
	if v := w.judge(w.pool); v.Dead != 3 || v.Accepted != 3*12 {
		t.Errorf("dead = %d, accepted = %d, want 3 and 36", v.Dead, v.Accepted)
	}
	for destination := range limits {
		var aggregate, code, reason string
		err := w.pool.QueryRow(t.Context(), "select aggregate_id, code, reason from outbox.dead_letters where destination = $1", destination).Scan(&aggregate, &code, &reason)
		if err != nil || aggregate != "too large" || code == "" || !strings.Contains(reason, "4096") && !strings.Contains(reason, "4097") && !strings.Contains(reason, "262144") && !strings.Contains(reason, "262145") {
			t.Errorf("%s: dead letter of %q with code %q and reason %q, %v", destination, aggregate, code, reason, err)
		}
	}
}

// The largest event that can be written fits into the largest message of SQS,
// whatever its attributes are.
func TestLargestEventFitsIntoAQueue(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.queue("orders", 0, relay.Skip, nil)
	largest := outbox.Event{
		EventID:       uuid.New(),
		AggregateType: strings.Repeat("t", outbox.MaxNameLength),
		AggregateID:   strings.Repeat("€", outbox.MaxAggregateIDLength),
		Type:          strings.Repeat("t", outbox.MaxNameLength),
		Destination:   "orders",
		Payload:       json.RawMessage(fmt.Sprintf("%q", strings.Repeat("x", outbox.MaxPayloadBytes-2))),
		Headers:       map[string]string{"k": strings.Repeat("h", outbox.MaxHeaderBytes-8)},
	}
	w.commit(largest)
	larger := largest
	larger.EventID, larger.Payload = uuid.New(), append(json.RawMessage(" "), largest.Payload...)
	x := w.begin(w.pool)
	var field *outbox.FieldError
	if _, err := outbox.Enqueue(t.Context(), x.tx, larger); !errors.As(err, &field) || field.Field != "Payload" {
		t.Errorf("enqueue of one byte more = %v, want a FieldError about Payload", err)
	}
	x.rollback()
	r := w.start(w.pool, nil)
	w.rest()
	r.stop()
	if v := w.judge(w.pool); v.Accepted != 1 {
		t.Errorf("accepted = %d, want 1", v.Accepted)
	}
}
