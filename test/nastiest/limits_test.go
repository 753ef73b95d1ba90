package nastiest_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/history"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
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
	err := x.tx.QueryRow(w.t.Context(), "select event_id, aggregate_type, aggregate_id, event_type, destination, created_at, outbox.current_era() from outbox.events where id = $1", rec.ID).
		Scan(&rec.EventID, &rec.AggregateType, &rec.AggregateID, &rec.Type, &rec.Destination, &rec.CreatedAt, &rec.Era)
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

// One byte decides, for the broker as for us: with the limits of a queue and of
// a topic as they come, raised, and lowered, and where we were told a limit that
// is not the broker's.
func TestMessagesAtTheExactByteLimit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const raised = 1_000_000
	w.topic("topic")
	w.topicWith("raised", raised, map[string]string{"MaximumMessageSize": strconv.Itoa(raised)})
	// The topic takes 256 KiB, whatever we think.
	w.topicWith("not-raised", raised, nil)
	w.queue("small", 4096, relay.Skip, map[string]string{"MaximumMessageSize": "4096"})
	w.queue("set", 0, relay.Skip, map[string]string{"MaximumMessageSize": "4096"})
	limits := map[string]int{"topic": 262_144, "raised": raised, "not-raised": 262_144, "small": 4096, "set": 4096}
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
	if v := w.judge(w.pool); v.DeadLetters != len(limits) || v.Accepted != len(limits)*12 {
		t.Errorf("dead = %d, accepted = %d, want %d and %d", v.DeadLetters, v.Accepted, len(limits), 12*len(limits))
	}
	for destination, limit := range limits {
		var aggregate, code, reason string
		err := w.pool.QueryRow(t.Context(), "select aggregate_id, code, reason from outbox.dead_letters where destination = $1", destination).Scan(&aggregate, &code, &reason)
		// The broker's own words need not name the number.
		named := code == "BatchRequestTooLong" || strings.Contains(reason, strconv.Itoa(limit)) || strings.Contains(reason, strconv.Itoa(limit+1))
		if err != nil || aggregate != "too large" || code == "" || !named {
			t.Errorf("%s: dead letter of %q with code %q and reason %q, %v", destination, aggregate, code, reason, err)
		}
	}
}

// The largest event that can be written fits into the largest message of SQS
// and SNS, whatever its attributes are.
func TestLargestEventFitsIntoAQueueAndATopic(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.queue("orders", 0, relay.Skip, nil)
	w.topicWith("topic", snssink.MaxBytes, map[string]string{"MaximumMessageSize": strconv.Itoa(snssink.MaxBytes)})
	largest := outbox.Event{
		EventID:       uuid.New(),
		AggregateType: strings.Repeat("t", outbox.MaxNameLength),
		AggregateID:   strings.Repeat("€", (outbox.MaxLaneBytes-outbox.MaxNameLength-len("orders"))/3),
		Type:          strings.Repeat("t", outbox.MaxNameLength),
		Destination:   "orders",
		Payload:       json.RawMessage(fmt.Sprintf("%q", strings.Repeat("x", outbox.MaxPayloadBytes-2))),
		Headers:       map[string]string{"k": strings.Repeat("h", outbox.MaxHeaderBytes-8)},
	}
	w.commit(largest)
	toTopic := largest
	toTopic.EventID, toTopic.Destination = uuid.New(), "topic"
	w.commit(toTopic)
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
	if v := w.judge(w.pool); v.Accepted != 2 {
		t.Errorf("accepted = %d, want 2", v.Accepted)
	}
}
