package nastiest_test

import (
	"testing"
	"time"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest/awsfake"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

// Every way in which a batch can fail in part, or its answer be lost, on the
// wire of the SDK. Each round has three events of each of ten aggregates.
func TestPartialFailuresAndLostAnswers(t *testing.T) {
	t.Parallel()
	faults := []awsfake.Fault{
		{Kind: awsfake.FailEntry, Code: "ThrottlingException", SenderFault: true, Count: 5},
		{Kind: awsfake.FailEntry, Probability: 0.5, Seed: 7, Count: 60},
		{Kind: awsfake.OmitEntry, Count: 3},
		{Kind: awsfake.OmitEntry, Accepted: true, Count: 3},
		{Kind: awsfake.OmitEntry, Accepted: true, Probability: 0.5, Seed: 7, Count: 20},
		{Kind: awsfake.FailCall, Count: 2},
		{Kind: awsfake.FailCall, Code: "ServiceUnavailable", Status: 503, Count: 2},
		{Kind: awsfake.FailCall, Code: "RequestThrottled", Status: 403, SenderFault: true, Count: 2},
		{Kind: awsfake.LoseResponse, Mode: awsfake.LossClose, Count: 2},
		{Kind: awsfake.LoseResponse, Mode: awsfake.LossReset, Count: 2},
		{Kind: awsfake.LoseResponse, Mode: awsfake.LossTruncate, Count: 2},
		{Kind: awsfake.LoseResponse, Mode: awsfake.LossHang, Count: 1},
		{Kind: awsfake.DropConnection, Count: 2},
	}
	for place := 1; place <= 10; place++ {
		faults = append(faults, awsfake.Fault{Kind: awsfake.FailEntry, Entry: place, Count: 1})
	}
	for destination, c := range map[string]struct {
		operation string
		extra     []awsfake.Fault
	}{
		"topic": {operation: "PublishBatch"},
		"queue": {operation: "SendMessageBatch", extra: []awsfake.Fault{{Kind: awsfake.WrongMD5, Count: 3}}},
	} {
		t.Run(destination, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			if destination == "topic" {
				w.topic(destination)
			} else {
				w.queue(destination, 0, relay.Skip, nil)
			}
			r := w.start(w.pool, func(c *relay.Config) { c.SendTimeout = time.Second })
			for _, f := range append(faults, c.extra...) {
				f.Operation = c.operation
				id := w.fault(f)
				var events []outbox.Event
				for i := range 30 {
					events = append(events, event(name("a", i%10), destination, `{}`))
				}
				w.commit(events...)
				w.rest()
				if w.applied(id) == 0 {
					t.Errorf("%s %s at %d never happened", f.Kind, f.Mode, f.Entry)
				}
				w.fake.RemoveFault(id)
			}
			sum := r.stop()
			v := w.judge(w.pool)
			if v.DeadLetters != 0 || v.Accepted != v.Committed || v.DuplicatesWithCause == 0 {
				t.Errorf("dead = %d, accepted = %d of %d, duplicates = %d", v.DeadLetters, v.Accepted, v.Committed, v.DuplicatesWithCause)
			}
			// An event is sent again only after an outcome that the relay counted.
			if int64(v.DuplicatesWithCause) > sum.Unknown {
				t.Errorf("%d events were sent again for %d unknown outcomes", v.DuplicatesWithCause, sum.Unknown)
			}
			if v.Suppressed != v.DuplicatesWithCause {
				t.Errorf("the broker suppressed %d of %d events that were sent again", v.Suppressed, v.DuplicatesWithCause)
			}
		})
	}
}
