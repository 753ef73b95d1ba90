package snssink_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/wiretest"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/awsclient"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest/awsfake"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest/sinktest"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/snssink"
)

func client(url string) *sns.Client {
	return sns.New(sns.Options{
		BaseEndpoint: &url,
		Region:       "us-east-1",
		Credentials:  credentials.NewStaticCredentialsProvider("test", "test", ""),
		HTTPClient:   awsclient.HTTPClient(16),
		Retryer:      awsclient.Retryer(),
	})
}

func start(tb testing.TB, c awsfake.Config) *awsfake.Server {
	tb.Helper()
	fake := awsfake.New(c)
	if err := fake.Start("127.0.0.1:0"); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = fake.Close() })
	return fake
}

func sink(tb testing.TB, fake *awsfake.Server, cfg snssink.Config) *snssink.Sink {
	tb.Helper()
	c := client(fake.URL())
	out, err := c.CreateTopic(tb.Context(), &sns.CreateTopicInput{
		Name:       aws.String("orders.fifo"),
		Attributes: map[string]string{"FifoTopic": "true"},
	})
	if err != nil {
		tb.Fatal(err)
	}
	cfg.TopicARN = aws.ToString(out.TopicArn)
	s, err := snssink.New(c, cfg)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

type answersAll struct{}

func (answersAll) PublishBatch(_ context.Context, in *sns.PublishBatchInput, _ ...func(*sns.Options)) (*sns.PublishBatchOutput, error) {
	out := &sns.PublishBatchOutput{Successful: make([]types.PublishBatchResultEntry, len(in.PublishBatchRequestEntries))}
	for i := range in.PublishBatchRequestEntries {
		id := in.PublishBatchRequestEntries[i].Id
		out.Successful[i] = types.PublishBatchResultEntry{Id: id, MessageId: id, SequenceNumber: id}
	}
	return out, nil
}

func open(t *testing.T) sinktest.Harness {
	t.Helper()
	return harness(t, snssink.Config{})
}

func openSDK(t *testing.T) sinktest.Harness {
	t.Helper()
	return harness(t, snssink.Config{SDKCodec: true})
}

func harness(t *testing.T, cfg snssink.Config) sinktest.Harness {
	t.Helper()
	fake := start(t, awsfake.Config{})
	return sinktest.Harness{
		Sink:     sink(t, fake, cfg),
		Accepted: func(*testing.T) []sinktest.Accepted { return held(fake) },
		Plan:     func(t *testing.T, f sinktest.Fault) { t.Helper(); plan(t, fake, f) },
	}
}

func held(fake *awsfake.Server) []sinktest.Accepted {
	var all []sinktest.Accepted
	for a := range fake.History() {
		if a.Kind != "topic" || a.Suppressed {
			continue
		}
		all = append(all, sinktest.Accepted{
			GroupID: a.GroupID, DeduplicationID: a.DeduplicationID, Body: a.Body,
			Attributes: a.Attributes, MessageID: a.MessageID, SequenceNumber: a.SequenceNumber,
		})
	}
	return all
}

// plan makes every fault happen once, but for a request that can never pass.
func plan(t *testing.T, fake *awsfake.Server, f sinktest.Fault) {
	t.Helper()
	entry := awsfake.Fault{Operation: "PublishBatch", Entry: f.Entry + 1, Count: 1}
	call := awsfake.Fault{Operation: "PublishBatch", Count: 1}
	var fault awsfake.Fault
	switch f.Kind {
	case sinktest.EntryInvalid:
		fault = entry
		fault.Kind, fault.Code, fault.SenderFault = awsfake.FailEntry, "InvalidMessageContents", true
	case sinktest.EntryFails:
		fault = entry
		fault.Kind, fault.Code = awsfake.FailEntry, "InternalError"
	case sinktest.EntryThrottled:
		fault = entry
		fault.Kind, fault.Code, fault.SenderFault = awsfake.FailEntry, "ThrottlingException", true
	case sinktest.EntryKeyDenied:
		fault = entry
		fault.Kind, fault.Code, fault.SenderFault = awsfake.FailEntry, "KMS.AccessDeniedException", true
	case sinktest.EntryOmitted:
		fault = entry
		fault.Kind, fault.Accepted = awsfake.OmitEntry, true
	case sinktest.CallThrottled:
		fault = call
		fault.Kind, fault.Code, fault.SenderFault, fault.Status = awsfake.FailCall, "Throttled", true, 403
	case sinktest.CallDenied:
		fault = call
		fault.Kind, fault.Code, fault.SenderFault, fault.Status = awsfake.FailCall, "AccessDenied", true, 403
	case sinktest.CallNoDestination:
		fault = call
		fault.Kind, fault.Code, fault.SenderFault, fault.Status = awsfake.FailCall, "NotFound", true, 400
	case sinktest.CallFails:
		fault = call
		fault.Kind = awsfake.FailCall
	case sinktest.CallInvalid:
		fault = awsfake.Fault{Operation: "PublishBatch", GroupID: f.GroupID}
		fault.Kind, fault.Code, fault.SenderFault, fault.Status = awsfake.FailCall, "InvalidParameter", true, 400
	case sinktest.AnswerCut:
		fault = call
		fault.Kind, fault.Mode = awsfake.LoseResponse, awsfake.LossTruncate
	case sinktest.AnswerReset:
		fault = call
		fault.Kind, fault.Mode = awsfake.LoseResponse, awsfake.LossReset
	case sinktest.AnswerLost:
		fault = call
		fault.Kind, fault.Mode = awsfake.LoseResponse, awsfake.LossClose
	case sinktest.AnswerHangs:
		fault = call
		fault.Kind, fault.Mode = awsfake.LoseResponse, awsfake.LossHang
	case sinktest.Dropped:
		fault = call
		fault.Kind = awsfake.DropConnection
	}
	if _, err := fake.AddFault(fault); err != nil {
		t.Fatal(err)
	}
}

func TestConformance(t *testing.T) {
	t.Parallel()
	sinktest.Run(t, open)
}

func TestFaults(t *testing.T) {
	t.Parallel()
	sinktest.RunFaults(t, open)
}

func TestMissingDestinationIsUnavailable(t *testing.T) {
	t.Parallel()
	fake := start(t, awsfake.Config{})
	s, err := snssink.New(client(fake.URL()), snssink.Config{TopicARN: "arn:aws:sns:us-east-1:000000000000:nowhere.fifo"})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range s.Publish(t.Context(), sinktest.Messages(2)) {
		if r.Class != outbox.Unavailable {
			t.Errorf("%v (%s, %v)", r.Class, r.Code, r.Err)
		}
	}
}

func TestRefusedConnectionIsUnavailable(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	url := "http://" + l.Addr().String()
	if err = l.Close(); err != nil {
		t.Fatal(err)
	}
	s, err := snssink.New(client(url), snssink.Config{TopicARN: "arn:aws:sns:us-east-1:000000000000:nowhere.fifo"})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range s.Publish(t.Context(), sinktest.Messages(2)) {
		if r.Class != outbox.Unavailable {
			t.Errorf("%v (%s, %v)", r.Class, r.Code, r.Err)
		}
	}
}

func TestMissingCredentialsAreUnavailable(t *testing.T) {
	t.Parallel()
	none := aws.CredentialsProviderFunc(func(ctx context.Context) (aws.Credentials, error) {
		return aws.Credentials{}, errors.New("no credentials")
	})
	c := sns.New(sns.Options{Region: "us-east-1", Credentials: none, Retryer: awsclient.Retryer()})
	s, err := snssink.New(c, snssink.Config{TopicARN: "arn:aws:sns:us-east-1:000000000000:nowhere.fifo"})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range s.Publish(t.Context(), sinktest.Messages(2)) {
		if r.Class != outbox.Unknown && r.Class != outbox.Unavailable {
			t.Errorf("%v (%s, %v)", r.Class, r.Code, r.Err)
		}
	}
}

func TestConfigNamesEveryFault(t *testing.T) {
	t.Parallel()
	_, err := snssink.New(nil, snssink.Config{MaxMessageBytes: 2 << 20})
	for _, want := range []string{"client", "TopicARN", "MaxMessageBytes"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not name %s", err, want)
		}
	}
}

// The topic takes 256 KiB, but the sink was told more: the whole request is
// refused, and only the message to blame is rejected.
func TestTopicWithALowerLimitRejectsOnlyWhatIsTooLong(t *testing.T) {
	t.Parallel()
	fake := start(t, awsfake.Config{})
	s := sink(t, fake, snssink.Config{MaxMessageBytes: snssink.MaxBytes})
	msgs := sinktest.Messages(10)
	msgs[4].Body = strings.Repeat("x", 300<<10)
	msgs[4].Size += 300 << 10
	for i, r := range s.Publish(t.Context(), msgs) {
		want := outbox.Accepted
		if i == 4 {
			want = outbox.Rejected
		}
		if r.Class != want {
			t.Errorf("message %d: %v (%s, %v), want %v", i, r.Class, r.Code, r.Err, want)
		}
	}
}

// One event of ten per call, with all that a call costs but the network. The
// metric cpu-ns/op is the processor time of the process: ratios of it hold on a
// busy machine too.
func BenchmarkPublish(b *testing.B) {
	for name, sdk := range map[string]bool{"own": false, "sdk": true} {
		b.Run(name, func(b *testing.B) {
			s, wires := wired(b, sdk)
			msgs := wiretest.Events(b, 10)
			wires.Answer = answer(msgs)
			b.ReportAllocs()
			stop := wiretest.CPUTime(b)
			for n := 0; n < b.N; n += len(msgs) {
				for _, r := range s.Publish(b.Context(), msgs) {
					if r.Class != outbox.Accepted {
						b.Fatal(r.Err)
					}
				}
			}
			stop()
		})
	}
}

// The same through a connection to the fake, whose time is counted too.
func BenchmarkPublishToFake(b *testing.B) {
	fake := start(b, awsfake.Config{History: awsfake.HistoryCounts, Discard: true})
	s := sink(b, fake, snssink.Config{})
	ids := sinktest.Messages(b.N + 10)
	b.ReportAllocs()
	b.ResetTimer()
	for n := 0; n < b.N; n += 10 {
		for _, r := range s.Publish(b.Context(), ids[n:n+10]) {
			if r.Class != outbox.Accepted {
				b.Fatal(r.Err)
			}
		}
	}
}

// Without the SDK: what the sink itself costs per event.
func BenchmarkPublishWithoutSDK(b *testing.B) {
	s, err := snssink.New(answersAll{}, snssink.Config{TopicARN: "arn:aws:sns:us-east-1:000000000000:nowhere.fifo"})
	if err != nil {
		b.Fatal(err)
	}
	msgs := sinktest.Messages(10)
	b.ReportAllocs()
	for n := 0; n < b.N; n += 10 {
		s.Publish(b.Context(), msgs)
	}
}
