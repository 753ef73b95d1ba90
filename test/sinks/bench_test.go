package sinks_test

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
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest/awsfake"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest/sinktest"
)

// events returns n messages as the relay makes them, with about 500 bytes of
// JSON and six attributes.
func events(tb testing.TB, n int) []outbox.Message {
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

// cpuTime resets the benchmark's timer. stop stops the timer and reports, as cpu-ns/op, the processor time that this
// process has used since cpuTime was called, divided by b.N.
func cpuTime(b *testing.B) (stop func()) {
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

// mustAccept publishes msgs, and fails the benchmark unless each is accepted.
func mustAccept(b *testing.B, s outbox.Sink, msgs []outbox.Message) {
	b.Helper()
	for _, r := range s.Publish(b.Context(), msgs) {
		if r.Class != outbox.Accepted {
			b.Fatal(r.Err)
		}
	}
}

// BenchmarkPublish measures Publish of the same ten messages with our own codec and with the SDK's, without a network:
// one message is one operation. Its cpu-ns/op can be compared as a ratio on a busy machine too.
func BenchmarkPublish(b *testing.B) {
	for name, s := range services() {
		for codec, sdk := range codecs() {
			b.Run(name+"/"+codec, func(b *testing.B) {
				wires := &transport{status: http.StatusOK}
				sink := s.over(b, wires, settings{sdkCodec: sdk})
				msgs := events(b, 10)
				wires.answer = s.answer(msgs)
				b.ReportAllocs()
				stop := cpuTime(b)
				for n := 0; n < b.N; n += len(msgs) {
					mustAccept(b, sink, msgs)
				}
				stop()
			})
		}
	}
}

// BenchmarkPublishToFake measures Publish of messages that are new each time through a connection to the fake, whose
// time is counted too: one message is one operation.
func BenchmarkPublishToFake(b *testing.B) {
	for name, s := range services() {
		b.Run(name, func(b *testing.B) {
			sink := s.sinkOf(b, start(b, awsfake.Config{History: awsfake.HistoryCounts, Discard: true}), settings{}, nil)
			msgs := sinktest.Messages(b.N + 10)
			b.ReportAllocs()
			b.ResetTimer()
			for n := 0; n < b.N; n += 10 {
				mustAccept(b, sink, msgs[n:n+10])
			}
		})
	}
}

// BenchmarkPublishWithoutSDK measures what the sink itself costs: one message is one operation.
func BenchmarkPublishWithoutSDK(b *testing.B) {
	for name, s := range services() {
		b.Run(name, func(b *testing.B) {
			sink, err := s.stub()
			if err != nil {
				b.Fatal(err)
			}
			msgs := sinktest.Messages(10)
			b.ReportAllocs()
			for n := 0; n < b.N; n += 10 {
				sink.Publish(b.Context(), msgs)
			}
		})
	}
}
