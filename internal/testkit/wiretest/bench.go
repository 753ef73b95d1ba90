package wiretest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest/sinktest"
)

// Events returns n messages as the relay makes them, with about 500 bytes of
// JSON and six attributes.
func Events(tb testing.TB, n int) []outbox.Message {
	tb.Helper()
	msgs := make([]outbox.Message, n)
	for i := range msgs {
		rec := outbox.Record{ID: int64(1_000_000 + i), CreatedAt: time.Unix(1_700_000_000, 123456789)}
		rec.EventID = uuid.MustParse(fmt.Sprintf("01890a5d-ac96-774b-bcce-b302099a8%03x", i))
		rec.AggregateType, rec.AggregateID, rec.Type = "order", fmt.Sprint("customer-", i), "order.placed"
		rec.Payload = json.RawMessage(fmt.Sprintf(`{"order_id":%d,"currency":"EUR","lines":[{"sku":"A-1","quantity":2},{"sku":"B-2","quantity":1}],"note":"%s"}`, i, strings.Repeat("x", 390)))
		m, err := outbox.Encode(&rec)
		if err != nil {
			tb.Fatal(err)
		}
		msgs[i] = m
	}
	return msgs
}

// CPUTime resets the benchmark's timer. stop stops the timer and reports, as cpu-ns/op, the processor time that this
// process has used since CPUTime was called, divided by b.N.
func CPUTime(b *testing.B) (stop func()) {
	b.Helper()
	b.ResetTimer()
	before := used(b)
	return func() {
		b.StopTimer()
		b.ReportMetric(float64(used(b)-before)/float64(b.N), "cpu-ns/op")
	}
}

// used returns the processor time, in nanoseconds, that this process has used so far.
func used(b *testing.B) int64 {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}

// BenchmarkPublish measures Publish of the same ten messages with our own codec and with the SDK's, without a network:
// one message is one operation. open makes the sinks, and answer the body of a successful answer to the messages. Its
// cpu-ns/op can be compared as a ratio on a busy machine too.
func BenchmarkPublish(b *testing.B, open Open, answer func([]outbox.Message) []byte) {
	b.Helper()
	for name, sdk := range map[string]bool{"own": false, "sdk": true} {
		b.Run(name, func(b *testing.B) {
			wires := &Transport{Status: http.StatusOK}
			s := open(b, wires, sdk)
			msgs := Events(b, 10)
			wires.Answer = answer(msgs)
			b.ReportAllocs()
			stop := CPUTime(b)
			for n := 0; n < b.N; n += len(msgs) {
				mustAccept(b, s, msgs)
			}
			stop()
		})
	}
}

// BenchmarkNew measures Publish of messages that are new each time, one message an operation. When s publishes
// to a fake in this process, the fake's time counts too.
func BenchmarkNew(b *testing.B, s outbox.Sink) {
	b.Helper()
	msgs := sinktest.Messages(b.N + 10)
	b.ReportAllocs()
	b.ResetTimer()
	for n := 0; n < b.N; n += 10 {
		mustAccept(b, s, msgs[n:n+10])
	}
}

// mustAccept publishes msgs, and fails the benchmark unless each is accepted.
func mustAccept(b *testing.B, s outbox.Sink, msgs []outbox.Message) {
	b.Helper()
	for _, r := range s.Publish(b.Context(), msgs) {
		if r.Class != outbox.Accepted {
			b.Fatal(r.Err)
		}
	}
}
