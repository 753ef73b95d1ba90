package wiretest

import (
	"net"
	"net/http"
	"testing"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest/awsfake"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest/sinktest"
)

// Service is what differs between the batch calls of SNS and SQS in tests against the fake.
type Service struct {
	// Kind is the kind of the destination in the fake's history: queue or topic. Operation is the name of the batch
	// call, such as SendMessageBatch.
	Kind, Operation string
	// Throttled, Missing and Invalid are the error codes of a call that is refused because of too many
	// requests, because the destination does not exist, and because of one of its messages.
	Throttled, Missing, Invalid string
}

// Start starts a fake on a free port of 127.0.0.1, which is closed with the test. It fails the test when it cannot.
func Start(tb testing.TB, c awsfake.Config) *awsfake.Server {
	tb.Helper()
	fake := awsfake.New(c)
	if err := fake.Start("127.0.0.1:0"); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = fake.Close() })
	return fake
}

// Harness returns what package sinktest needs to test sink, which publishes to fake.
func (s Service) Harness(fake *awsfake.Server, sink outbox.Sink) sinktest.Harness {
	return sinktest.Harness{
		Sink:     sink,
		Accepted: func(*testing.T) []sinktest.Accepted { return s.Accepted(fake) },
		Plan:     func(t *testing.T, f sinktest.Fault) { t.Helper(); s.plan(t, fake, f) },
	}
}

// Accepted returns the messages that destinations of the kind s.Kind in the fake have accepted and not suppressed, in
// order.
func (s Service) Accepted(fake *awsfake.Server) []sinktest.Accepted {
	var all []sinktest.Accepted
	for a := range fake.History() {
		if a.Kind != s.Kind || a.Suppressed {
			continue
		}
		all = append(all, sinktest.Accepted{
			GroupID: a.GroupID, DeduplicationID: a.DeduplicationID, Body: a.Body,
			Attributes: a.Attributes, MessageID: a.MessageID, SequenceNumber: a.SequenceNumber,
		})
	}
	return all
}

// plan adds to the fake a fault that is f. It happens once, to the next call of s.Operation; CallInvalid happens each
// time that a call has a message of f.GroupID.
func (s Service) plan(t *testing.T, fake *awsfake.Server, f sinktest.Fault) {
	t.Helper()
	refused := func(code string, status int) awsfake.Fault {
		return awsfake.Fault{Kind: awsfake.FailCall, Code: code, SenderFault: true, Status: status, Count: 1}
	}
	failed := func(code string, senderFault bool) awsfake.Fault {
		return awsfake.Fault{Kind: awsfake.FailEntry, Entry: f.Entry + 1, Code: code, SenderFault: senderFault, Count: 1}
	}
	lost := func(mode awsfake.LossMode) awsfake.Fault {
		return awsfake.Fault{Kind: awsfake.LoseResponse, Mode: mode, Count: 1}
	}
	invalid := refused(s.Invalid, http.StatusBadRequest)
	invalid.GroupID, invalid.Count = f.GroupID, 0
	fault := map[sinktest.FaultKind]awsfake.Fault{
		sinktest.EntryInvalid:      failed("InvalidMessageContents", true),
		sinktest.EntryFails:        failed("InternalError", false),
		sinktest.EntryThrottled:    failed("ThrottlingException", true),
		sinktest.EntryKeyDenied:    failed("KMS.AccessDeniedException", true),
		sinktest.EntryOmitted:      {Kind: awsfake.OmitEntry, Entry: f.Entry + 1, Accepted: true, Count: 1},
		sinktest.CallThrottled:     refused(s.Throttled, http.StatusForbidden),
		sinktest.CallDenied:        refused("AccessDenied", http.StatusForbidden),
		sinktest.CallNoDestination: refused(s.Missing, http.StatusBadRequest),
		sinktest.CallFails:         {Kind: awsfake.FailCall, Count: 1},
		sinktest.CallInvalid:       invalid,
		sinktest.AnswerCut:         lost(awsfake.LossTruncate),
		sinktest.AnswerReset:       lost(awsfake.LossReset),
		sinktest.AnswerLost:        lost(awsfake.LossClose),
		sinktest.AnswerHangs:       lost(awsfake.LossHang),
		sinktest.Dropped:           {Kind: awsfake.DropConnection, Count: 1},
	}[f.Kind]
	fault.Operation = s.Operation
	if _, err := fake.AddFault(fault); err != nil {
		t.Fatal(err)
	}
}

// Refusing returns the address of a server that refuses connections.
func Refusing(t *testing.T) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // closed at once
	if err != nil {
		t.Fatal(err)
	}
	if err = l.Close(); err != nil {
		t.Fatal(err)
	}
	return "http://" + l.Addr().String()
}

// Classes publishes msgs with a sink and tests that it gives message i the class want(i).
func Classes(t *testing.T, sink outbox.Sink, msgs []outbox.Message, want func(i int) outbox.Class) {
	t.Helper()
	for i, r := range sink.Publish(t.Context(), msgs) {
		if r.Class != want(i) {
			t.Errorf("message %d: %v (%s, %v), want %v", i, r.Class, r.Code, r.Err, want(i))
		}
	}
}

// Unavailable publishes two messages with a sink and tests that it gives both the class Unavailable.
func Unavailable(t *testing.T, sink outbox.Sink) {
	t.Helper()
	Classes(t, sink, sinktest.Messages(2), func(int) outbox.Class { return outbox.Unavailable })
}
