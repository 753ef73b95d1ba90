// Package sinktest tests a sink of your own: [Run] and [RunFaults] are the
// contract of [outbox.Sink] as suites of tests.
package sinktest

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

// Harness is a sink under test and what the tests need of the broker behind it. Sink and Accepted are required;
// Plan is required for [RunFaults] only.
type Harness struct {
	Sink outbox.Sink
	// Accepted returns what the destination has accepted and not suppressed as
	// a duplicate, in the order of acceptance.
	Accepted func(t *testing.T) []Accepted
	// Plan makes the broker do f once, at the next request, or for CallInvalid at every request with the
	// message. All other requests are served as usual. [Run] does not use Plan.
	Plan func(t *testing.T, f Fault)
}

// Accepted is a message as the destination stored it.
type Accepted struct {
	GroupID         string
	DeduplicationID string
	Body            string
	Attributes      map[string]string
	MessageID       string
	SequenceNumber  string
}

// Run tests the contract of [outbox.Sink] against a broker that works. The tests run in parallel, and each
// calls open once, for a destination of its own that has no messages yet.
func Run(t *testing.T, open func(t *testing.T) Harness) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, Harness){
		"accepted messages are unchanged and in order":       unchanged,
		"results align with messages":                        resultsAlign,
		"a second attempt is accepted and not stored twice":  secondAttempt,
		"no messages give no results":                        noMessages,
		"an oversize message does not take its neighbors":    oversize,
		"a full batch of the largest size is accepted":       fullBatch,
		"a batch beyond the limits is rejected":              beyondLimits,
		"nothing is accepted on an ended context":            endedContext,
		"concurrent calls do not mix their results":          concurrentCalls,
		"characters of all kinds arrive unchanged":           characters,
		"messages are not changed and can be used again":     messagesKept,
		"sequence numbers grow within a group across calls":  sequenceNumbers,
		"the limits are possible and constant":               limitsConstant,
		"as many attributes as an event can have are taken":  manyAttributes,
		"several messages of a group keep the order of call": groupOrder,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

// Messages returns n messages in groups of their own, each with a new
// deduplication id.
func Messages(n int) []outbox.Message {
	msgs := make([]outbox.Message, n)
	for i := range msgs {
		msgs[i] = Message(fmt.Sprint("order/", uuid.NewString()), fmt.Sprintf(`{"n":%d}`, i))
	}
	return msgs
}

// Message returns a message with the attributes event_type and sequence, a new deduplication id and its size.
func Message(group, body string) outbox.Message {
	m := outbox.Message{
		GroupID:         group,
		DeduplicationID: uuid.NewString(),
		Body:            body,
		Attributes:      []outbox.Attribute{{Name: "event_type", Value: "order.placed"}, {Name: "sequence", Value: "1"}},
	}
	m.Size = size(&m)
	return m
}

func size(m *outbox.Message) int {
	n := len(m.Body)
	for _, a := range m.Attributes {
		n += len(a.Name) + len("String") + len(a.Value)
	}
	return n
}

// ofSize returns a message whose size, as SQS and SNS count it with attributes, is exactly n bytes. It panics
// when n is less than the size of its attributes.
func ofSize(n int) outbox.Message {
	m := Message(uuid.NewString(), "")
	m.Body = strings.Repeat("x", n-m.Size)
	m.Size = n
	return m
}

func mustAccept(t *testing.T, msgs []outbox.Message, results []outbox.Result) {
	t.Helper()
	expectClasses(t, msgs, results, func(int) outbox.Class { return outbox.Accepted })
}

func expectClasses(t *testing.T, msgs []outbox.Message, results []outbox.Result, want func(i int) outbox.Class) {
	t.Helper()
	if len(results) != len(msgs) {
		t.Fatalf("%d results for %d messages", len(results), len(msgs))
	}
	for i, r := range results {
		if r.Class != want(i) {
			t.Errorf("message %d: %v (code %q, error %v), want %v", i, r.Class, r.Code, r.Err, want(i))
		}
		if r.Class == outbox.Accepted {
			if r.MessageID == "" || r.SequenceNumber == "" || r.Err != nil || r.Code != "" {
				t.Errorf("message %d: accepted as %+v", i, r)
			}
		} else if r.Err == nil || r.Code == "" {
			t.Errorf("message %d: %v without an error or a code", i, r.Class)
		}
	}
}

func find(t *testing.T, stored []Accepted, m *outbox.Message) Accepted {
	t.Helper()
	var found []Accepted
	for _, a := range stored {
		if a.DeduplicationID == m.DeduplicationID && a.GroupID == m.GroupID {
			found = append(found, a)
		}
	}
	if len(found) != 1 {
		t.Fatalf("the destination has %d messages %s, want one", len(found), m.DeduplicationID)
	}
	return found[0]
}

func expectStored(t *testing.T, h Harness, msgs []outbox.Message) {
	t.Helper()
	stored := h.Accepted(t)
	if len(stored) != len(msgs) {
		t.Errorf("the destination has %d messages, want %d", len(stored), len(msgs))
	}
	for i := range msgs {
		m := &msgs[i]
		a := find(t, stored, m)
		if a.Body != m.Body {
			t.Errorf("message %d: body of %d bytes differs from the one of %d bytes that was sent", i, len(a.Body), len(m.Body))
		}
		if len(a.Attributes) != len(m.Attributes) {
			t.Errorf("message %d: attributes %v, want %v", i, a.Attributes, m.Attributes)
		}
		for _, want := range m.Attributes {
			if got := a.Attributes[want.Name]; got != want.Value {
				t.Errorf("message %d: attribute %s is %q, want %q", i, want.Name, got, want.Value)
			}
		}
	}
}

func unchanged(t *testing.T, h Harness) {
	t.Helper()
	msgs := Messages(h.Sink.Limits().Entries)
	mustAccept(t, msgs, h.Sink.Publish(t.Context(), msgs))
	expectStored(t, h, msgs)
}

func resultsAlign(t *testing.T, h Harness) {
	t.Helper()
	msgs := Messages(h.Sink.Limits().Entries)
	results := h.Sink.Publish(t.Context(), msgs)
	mustAccept(t, msgs, results)
	stored := h.Accepted(t)
	for i := range msgs {
		a := find(t, stored, &msgs[i])
		if results[i].MessageID != a.MessageID || results[i].SequenceNumber != a.SequenceNumber {
			t.Errorf("message %d: got ids %s %s, the destination has %s %s",
				i, results[i].MessageID, results[i].SequenceNumber, a.MessageID, a.SequenceNumber)
		}
	}
}

func secondAttempt(t *testing.T, h Harness) {
	t.Helper()
	msgs := Messages(3)
	mustAccept(t, msgs, h.Sink.Publish(t.Context(), msgs))
	mustAccept(t, msgs, h.Sink.Publish(t.Context(), msgs))
	expectStored(t, h, msgs)
}

func noMessages(t *testing.T, h Harness) {
	t.Helper()
	if results := h.Sink.Publish(t.Context(), nil); len(results) != 0 {
		t.Errorf("%d results", len(results))
	}
	expectStored(t, h, nil)
}

func oversize(t *testing.T, h Harness) {
	t.Helper()
	msgs := Messages(3)
	msgs[1] = ofSize(h.Sink.Limits().MessageBytes + 1)
	results := h.Sink.Publish(t.Context(), msgs)
	expectClasses(t, msgs, results, func(i int) outbox.Class {
		if i == 1 {
			return outbox.Rejected
		}
		return outbox.Accepted
	})
	expectStored(t, h, []outbox.Message{msgs[0], msgs[2]})
}

func fullBatch(t *testing.T, h Harness) {
	t.Helper()
	limits := h.Sink.Limits()
	largest := []outbox.Message{ofSize(limits.MessageBytes)}
	mustAccept(t, largest, h.Sink.Publish(t.Context(), largest))

	full := make([]outbox.Message, limits.Entries)
	left := limits.BatchBytes
	for i := range full {
		n := min(left/(len(full)-i), limits.MessageBytes)
		full[i] = ofSize(n)
		left -= n
	}
	mustAccept(t, full, h.Sink.Publish(t.Context(), full))
	expectStored(t, h, append(largest, full...))
}

func beyondLimits(t *testing.T, h Harness) {
	t.Helper()
	limits := h.Sink.Limits()
	rejected := func(int) outbox.Class { return outbox.Rejected }
	many := Messages(limits.Entries + 1)
	expectClasses(t, many, h.Sink.Publish(t.Context(), many), rejected)

	n := limits.BatchBytes/limits.MessageBytes + 1
	if n <= limits.Entries {
		large := make([]outbox.Message, n)
		for i := range large {
			large[i] = ofSize(limits.MessageBytes)
		}
		expectClasses(t, large, h.Sink.Publish(t.Context(), large), rejected)
	}
	expectStored(t, h, nil)
}

func endedContext(t *testing.T, h Harness) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	msgs := Messages(3)
	results := h.Sink.Publish(ctx, msgs)
	expectClasses(t, msgs, results, func(int) outbox.Class { return outbox.Unknown })
}

func concurrentCalls(t *testing.T, h Harness) {
	t.Helper()
	const calls = 16
	batches := make([][]outbox.Message, calls)
	results := make([][]outbox.Result, calls)
	var group sync.WaitGroup
	for c := range calls {
		batches[c] = Messages(h.Sink.Limits().Entries)
		group.Go(func() { results[c] = h.Sink.Publish(t.Context(), batches[c]) })
	}
	group.Wait()
	stored := h.Accepted(t)
	for c := range calls {
		mustAccept(t, batches[c], results[c])
		for i := range batches[c] {
			if a := find(t, stored, &batches[c][i]); a.MessageID != results[c][i].MessageID {
				t.Errorf("call %d, message %d: got the message id of another one", c, i)
			}
		}
	}
}

func characters(t *testing.T, h Harness) {
	t.Helper()
	msgs := []outbox.Message{
		Message("a", `{"quote":"\"","backslash":"\\","slash":"/","html":"<&>"}`),
		Message("b", "tab\tnewline\nreturn\r"),
		Message("c", "zażółć 訊息 🚚 \u2028 %41+&="),
		Message("d", " "),
	}
	msgs[0].Attributes = []outbox.Attribute{{Name: "note", Value: `{"k":"v & <w>=+%20","é":"🚚"}`}}
	msgs[0].Size = size(&msgs[0])
	mustAccept(t, msgs, h.Sink.Publish(t.Context(), msgs))
	expectStored(t, h, msgs)
}

func messagesKept(t *testing.T, h Harness) {
	t.Helper()
	msgs := Messages(3)
	before := fmt.Sprint(msgs)
	mustAccept(t, msgs, h.Sink.Publish(t.Context(), msgs))
	if after := fmt.Sprint(msgs); after != before {
		t.Errorf("messages were changed:\n%s\n%s", before, after)
	}
}

func sequenceNumbers(t *testing.T, h Harness) {
	t.Helper()
	last := ""
	for range 3 {
		msgs := []outbox.Message{Message("one", "{}"), Message("one", "{}")}
		results := h.Sink.Publish(t.Context(), msgs)
		mustAccept(t, msgs, results)
		for _, r := range results {
			// Sequence numbers are decimal numbers of equal length on AWS.
			if len(r.SequenceNumber) < len(last) || len(r.SequenceNumber) == len(last) && r.SequenceNumber <= last {
				t.Errorf("sequence number %s after %s", r.SequenceNumber, last)
			}
			last = r.SequenceNumber
		}
	}
}

func limitsConstant(t *testing.T, h Harness) {
	t.Helper()
	l := h.Sink.Limits()
	if l.Entries < 1 || l.MessageBytes < 1 || l.BatchBytes < l.MessageBytes {
		t.Errorf("limits %+v", l)
	}
	msgs := Messages(1)
	mustAccept(t, msgs, h.Sink.Publish(t.Context(), msgs))
	if again := h.Sink.Limits(); again != l {
		t.Errorf("limits changed from %+v to %+v", l, again)
	}
}

func manyAttributes(t *testing.T, h Harness) {
	t.Helper()
	msgs := Messages(1)
	msgs[0].Attributes = nil
	for i := range 8 {
		msgs[0].Attributes = append(msgs[0].Attributes, outbox.Attribute{Name: fmt.Sprint("attribute_", i), Value: "v"})
	}
	msgs[0].Size = size(&msgs[0])
	mustAccept(t, msgs, h.Sink.Publish(t.Context(), msgs))
	expectStored(t, h, msgs)
}

func groupOrder(t *testing.T, h Harness) {
	t.Helper()
	var sent []string
	for range 3 {
		msgs := make([]outbox.Message, h.Sink.Limits().Entries)
		for i := range msgs {
			msgs[i] = Message("one", "{}")
			sent = append(sent, msgs[i].DeduplicationID)
		}
		mustAccept(t, msgs, h.Sink.Publish(t.Context(), msgs))
	}
	var got []string
	for _, a := range h.Accepted(t) {
		got = append(got, a.DeduplicationID)
	}
	if fmt.Sprint(got) != fmt.Sprint(sent) {
		t.Errorf("stored in the order\n%v, sent in the order\n%v", got, sent)
	}
}
