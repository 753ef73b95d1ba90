// Package sinks_test holds both sinks to one set of tests: the contract of [outbox.Sink], what becomes of the faults
// of a broker, and that requests and answers are those of the AWS SDK.
package sinks_test

import (
	"net/http"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/awsclient"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest/awsfake"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest/sinktest"
)

// service is what differs between the tests of the two sinks.
type service struct {
	// kind is the kind of a destination in the fake's history, queue or topic. operation is the name of the batch
	// call.
	kind, operation string
	// throttled, missing and invalid are the error codes of a call that is refused because of too many requests,
	// because the destination does not exist, and because of one of its messages.
	throttled, missing, invalid string
	// setting is the name of the sink's setting for its destination.
	setting string
	// odd is a destination whose name has a character that a request escapes.
	odd string
	// nowhere is a destination that does not exist.
	nowhere string
	// open makes a sink whose client has the configuration cfg.
	open func(cfg aws.Config, s settings) (outbox.Sink, error)
	// create makes a FIFO destination with these attributes, and returns what settings.destination is for it.
	create func(tb testing.TB, cfg aws.Config, attributes map[string]string) (destination string)
	// misconfigure returns the error of a sink without a client and a destination, for messages of 2 MiB.
	misconfigure func() error
	// stub makes a sink whose client accepts every message and sends nothing.
	stub func() (outbox.Sink, error)
	// answer returns the body of the answer to msgs when all are accepted. empty is a body without entries.
	answer func(msgs []outbox.Message) []byte
	empty  string
	// seeds returns answers to three messages, in all kinds of forms.
	seeds func(msgs []outbox.Message) [][]byte
	// parse returns what the body of a request means: bodies that differ only in form give equal values.
	parse func(body []byte) (any, error)
}

// settings are those of a sink that tests change.
type settings struct {
	destination     string
	maxMessageBytes int
	// sdkCodec is SDKCodec of the sink's configuration.
	sdkCodec bool
	// unchecked turns off the comparison of checksums, which only SQS has.
	unchecked bool
}

// services returns both services by name.
func services() map[string]*service {
	return map[string]*service{"SQS": sqsService(), "SNS": snsService()}
}

// each runs test for each service, in parallel.
func each(t *testing.T, test func(t *testing.T, s *service)) {
	t.Helper()
	for name, s := range services() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, s)
		})
	}
}

// The region and the keys of all clients under test.
const (
	region    = "us-east-1"
	accessKey = "AKIDEXAMPLE"
	secretKey = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
)

// config returns the configuration of a client that sends its requests to endpoint with h, and does not retry.
func config(endpoint string, h aws.HTTPClient) aws.Config {
	return aws.Config{
		BaseEndpoint: &endpoint, Region: region, HTTPClient: h, Retryer: awsclient.Retryer,
		Credentials: credentials.NewStaticCredentialsProvider(accessKey, secretKey, ""),
	}
}

// sink makes a sink and fails the test when it cannot.
func (s *service) sink(tb testing.TB, cfg aws.Config, set settings) outbox.Sink {
	tb.Helper()
	sink, err := s.open(cfg, set)
	if err != nil {
		tb.Fatal(err)
	}
	return sink
}

// start starts a fake on a free port of 127.0.0.1, which is closed with the test.
func start(tb testing.TB, c awsfake.Config) *awsfake.Server {
	tb.Helper()
	fake := awsfake.New(c)
	if err := fake.Start("127.0.0.1:0"); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = fake.Close() })
	return fake
}

// sinkOf makes a sink for a new destination in fake, which has the attributes.
func (s *service) sinkOf(tb testing.TB, fake *awsfake.Server, set settings, attributes map[string]string) outbox.Sink {
	tb.Helper()
	cfg := config(fake.URL(), awsclient.HTTPClient(16))
	set.destination = s.create(tb, cfg, attributes)
	return s.sink(tb, cfg, set)
}

// harness returns a sink for a destination in a fake of its own, and what package sinktest needs of that.
func (s *service) harness(t *testing.T, set settings) sinktest.Harness {
	t.Helper()
	fake := start(t, awsfake.Config{})
	return sinktest.Harness{
		Sink:     s.sinkOf(t, fake, set, nil),
		Accepted: func(*testing.T) []sinktest.Accepted { return s.accepted(fake) },
		Plan:     func(t *testing.T, f sinktest.Fault) { t.Helper(); s.plan(t, fake, f) },
	}
}

// accepted returns the messages that the destinations in fake have accepted and not suppressed, in order.
func (s *service) accepted(fake *awsfake.Server) []sinktest.Accepted {
	var all []sinktest.Accepted
	for a := range fake.History() {
		if a.Kind != s.kind || a.Suppressed {
			continue
		}
		all = append(all, sinktest.Accepted{
			GroupID: a.GroupID, DeduplicationID: a.DeduplicationID, Body: a.Body,
			Attributes: a.Attributes, MessageID: a.MessageID, SequenceNumber: a.SequenceNumber,
		})
	}
	return all
}

// plan adds to the fake a fault that is f. It happens once, to the next call of s.operation; CallInvalid happens each
// time that a call has a message of f.GroupID.
func (s *service) plan(t *testing.T, fake *awsfake.Server, f sinktest.Fault) {
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
	invalid := refused(s.invalid, http.StatusBadRequest)
	invalid.GroupID, invalid.Count = f.GroupID, 0
	fault := map[sinktest.FaultKind]awsfake.Fault{
		sinktest.EntryInvalid:      failed("InvalidMessageContents", true),
		sinktest.EntryFails:        failed("InternalError", false),
		sinktest.EntryThrottled:    failed("ThrottlingException", true),
		sinktest.EntryKeyDenied:    failed("KMS.AccessDeniedException", true),
		sinktest.EntryOmitted:      {Kind: awsfake.OmitEntry, Entry: f.Entry + 1, Accepted: true, Count: 1},
		sinktest.CallThrottled:     refused(s.throttled, http.StatusForbidden),
		sinktest.CallDenied:        refused("AccessDenied", http.StatusForbidden),
		sinktest.CallNoDestination: refused(s.missing, http.StatusBadRequest),
		sinktest.CallFails:         {Kind: awsfake.FailCall, Count: 1},
		sinktest.CallInvalid:       invalid,
		sinktest.AnswerCut:         lost(awsfake.LossTruncate),
		sinktest.AnswerReset:       lost(awsfake.LossReset),
		sinktest.AnswerLost:        lost(awsfake.LossClose),
		sinktest.AnswerHangs:       lost(awsfake.LossHang),
		sinktest.Dropped:           {Kind: awsfake.DropConnection, Count: 1},
	}[f.Kind]
	fault.Operation = s.operation
	if _, err := fake.AddFault(fault); err != nil {
		t.Fatal(err)
	}
}
