package sinktest

import (
	"context"
	"testing"
	"time"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

// FaultKind is what a broker does wrong with a request or an entry.
type FaultKind int

const (
	// EntryInvalid fails an entry for good, with the sender at fault.
	EntryInvalid FaultKind = iota
	// EntryFails fails an entry now, with the broker at fault.
	EntryFails
	// EntryThrottled fails an entry because too much was sent.
	EntryThrottled
	// EntryKeyDenied fails an entry because the encryption key is refused, with
	// the sender at fault.
	EntryKeyDenied
	// EntryOmitted accepts an entry and leaves it out of the answer: it is neither among the successful nor
	// among the failed entries.
	EntryOmitted
	// CallThrottled refuses a request because too much was sent.
	CallThrottled
	// CallDenied refuses a request for lack of a permission.
	CallDenied
	// CallNoDestination refuses a request because there is no such destination.
	CallNoDestination
	// CallFails answers a request with the status 500 and does not carry it out.
	CallFails
	// CallInvalid refuses, as invalid, every request that has the message of Fault.Entry in it.
	CallInvalid
	// AnswerCut carries a request out and sends half of the answer.
	AnswerCut
	// AnswerReset carries a request out and resets the connection.
	AnswerReset
	// AnswerLost carries a request out and closes the connection.
	AnswerLost
	// AnswerHangs carries a request out and never answers.
	AnswerHangs
	// Dropped closes the connection without carrying the request out.
	Dropped
)

// Fault is what [Harness].Plan makes the broker do wrong.
type Fault struct {
	Kind FaultKind
	// Entry is the index, from 0, of the message that a fault of one entry, or CallInvalid, hits. GroupID is
	// the group of that message. Faults of other kinds hit whole requests, whatever the two are.
	Entry   int
	GroupID string
}

// RunFaults tests which class a sink gives to each kind of failure, and that it calls a message accepted or rejected
// only when that is certain. The tests run in parallel, and each calls open once, for a destination of its own that
// has no messages yet. Harness.Plan is required.
func RunFaults(t *testing.T, open func(t *testing.T) Harness) {
	t.Helper()
	const hit = 1
	for _, c := range []struct {
		name  string
		kind  FaultKind
		hit   outbox.Class // of the message hit
		other outbox.Class // of its neighbors
		taken int          // by the destination, of three, before the second attempt
		lasts bool         // a second attempt has the same result
	}{
		{"an invalid entry is rejected alone", EntryInvalid, outbox.Rejected, outbox.Accepted, 2, false},
		{"a failed entry is transient alone", EntryFails, outbox.Transient, outbox.Accepted, 2, false},
		{"a throttled entry is throttled alone", EntryThrottled, outbox.Throttled, outbox.Accepted, 2, false},
		{"a refused key rejects no entry", EntryKeyDenied, outbox.Unavailable, outbox.Accepted, 2, false},
		{"an entry that is not answered is unknown alone", EntryOmitted, outbox.Unknown, outbox.Accepted, 3, false},
		{"a throttled call throttles all", CallThrottled, outbox.Throttled, outbox.Throttled, 0, false},
		{"a denied call is an unavailable destination", CallDenied, outbox.Unavailable, outbox.Unavailable, 0, false},
		{"no destination is an unavailable destination", CallNoDestination, outbox.Unavailable, outbox.Unavailable, 0, false},
		{"a failed call is unknown", CallFails, outbox.Unknown, outbox.Unknown, 0, false},
		{"an invalid call rejects only the message to blame", CallInvalid, outbox.Rejected, outbox.Accepted, 2, true},
		{"half an answer is unknown", AnswerCut, outbox.Unknown, outbox.Unknown, 3, false},
		{"a reset is unknown", AnswerReset, outbox.Unknown, outbox.Unknown, 3, false},
		{"a lost answer is unknown", AnswerLost, outbox.Unknown, outbox.Unknown, 3, false},
		{"a dropped connection is unknown", Dropped, outbox.Unknown, outbox.Unknown, 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := open(t)
			msgs := Messages(3)
			h.Plan(t, Fault{Kind: c.kind, Entry: hit, GroupID: msgs[hit].GroupID})
			results := h.Sink.Publish(t.Context(), msgs)
			expectClasses(t, msgs, results, func(i int) outbox.Class {
				if i == hit {
					return c.hit
				}
				return c.other
			})
			if got := len(h.Accepted(t)); got != c.taken {
				t.Errorf("the destination has %d messages, want %d", got, c.taken)
			}
			if !c.lasts {
				mustAccept(t, msgs, h.Sink.Publish(t.Context(), msgs))
				expectStored(t, h, msgs)
			}
		})
	}
	t.Run("a call without an answer ends with its context, unknown", func(t *testing.T) {
		t.Parallel()
		h := open(t)
		h.Plan(t, Fault{Kind: AnswerHangs})
		ctx, cancel := context.WithCancel(t.Context())
		msgs := Messages(3)
		done := make(chan []outbox.Result)
		go func() { done <- h.Sink.Publish(ctx, msgs) }()
		look := time.NewTicker(time.Millisecond)
		defer look.Stop()
		for len(h.Accepted(t)) < len(msgs) { // the request has been carried out
			select {
			case <-done:
				t.Fatal("the call ended by itself")
			case <-t.Context().Done():
				t.Fatal("the request never arrived")
			case <-look.C:
			}
		}
		cancel()
		expectClasses(t, msgs, <-done, func(int) outbox.Class { return outbox.Unknown })
		mustAccept(t, msgs, h.Sink.Publish(t.Context(), msgs))
		expectStored(t, h, msgs)
	})
}
