package wiretest

import (
	"encoding/json"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
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

// CPUTime resets the timer, and reports the processor time of this process from
// now to the returned function as cpu-ns/op.
func CPUTime(b *testing.B) (stop func()) {
	b.Helper()
	b.ResetTimer()
	before := used(b)
	return func() {
		b.StopTimer()
		b.ReportMetric(float64(used(b)-before)/float64(b.N), "cpu-ns/op")
	}
}

func used(b *testing.B) int64 {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}
