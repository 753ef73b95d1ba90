package sqssink_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/wiretest"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/awsclient"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest/awsfake"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest/sinktest"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/sqssink"
)

func client(url string) *sqs.Client {
	return sqs.New(sqs.Options{
		BaseEndpoint: &url,
		Region:       "us-east-1",
		Credentials:  credentials.NewStaticCredentialsProvider("test", "test", ""),
		HTTPClient:   awsclient.HTTPClient(16),
		Retryer:      awsclient.Retryer(),
	})
}

func sink(tb testing.TB, fake *awsfake.Server, attributes ...string) *sqssink.Sink {
	tb.Helper()
	return configured(tb, fake, sqssink.Config{}, attributes...)
}

func configured(tb testing.TB, fake *awsfake.Server, cfg sqssink.Config, attributes ...string) *sqssink.Sink {
	tb.Helper()
	c := client(fake.URL())
	set := map[string]string{"FifoQueue": "true"}
	for i := 0; i < len(attributes); i += 2 {
		set[attributes[i]] = attributes[i+1]
	}
	out, err := c.CreateQueue(tb.Context(), &sqs.CreateQueueInput{QueueName: aws.String("orders.fifo"), Attributes: set})
	if err != nil {
		tb.Fatal(err)
	}
	cfg.QueueURL = aws.ToString(out.QueueUrl)
	s, err := sqssink.New(c, cfg)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

type answersAll struct{}

func (answersAll) SendMessageBatch(_ context.Context, in *sqs.SendMessageBatchInput, _ ...func(*sqs.Options)) (*sqs.SendMessageBatchOutput, error) {
	out := &sqs.SendMessageBatchOutput{Successful: make([]types.SendMessageBatchResultEntry, len(in.Entries))}
	for i := range in.Entries {
		id := in.Entries[i].Id
		out.Successful[i] = types.SendMessageBatchResultEntry{Id: id, MessageId: id, SequenceNumber: id}
	}
	return out, nil
}

func openOwn(t *testing.T) sinktest.Harness {
	t.Helper()
	return harness(t, sqssink.Config{})
}

func openSDK(t *testing.T) sinktest.Harness {
	t.Helper()
	return harness(t, sqssink.Config{SDKCodec: true})
}

func service() wiretest.Service {
	return wiretest.Service{
		Kind: "queue", Operation: "SendMessageBatch",
		Throttled: "RequestThrottled", Missing: "AWS.SimpleQueueService.NonExistentQueue", Invalid: "InvalidParameterValue",
	}
}

func harness(t *testing.T, cfg sqssink.Config) sinktest.Harness {
	t.Helper()
	fake := wiretest.Start(t, awsfake.Config{})
	return service().Harness(fake, configured(t, fake, cfg))
}

func TestConformance(t *testing.T) {
	t.Parallel()
	sinktest.Run(t, openOwn)
}

func TestFaults(t *testing.T) {
	t.Parallel()
	sinktest.RunFaults(t, openOwn)
}

// nowhere returns a sink for a destination that does not exist.
func nowhere(tb testing.TB, c sqssink.Client) *sqssink.Sink {
	tb.Helper()
	s, err := sqssink.New(c, sqssink.Config{QueueURL: "http://127.0.0.1/000000000000/nowhere.fifo"})
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func TestMissingDestinationIsUnavailable(t *testing.T) {
	t.Parallel()
	wiretest.Unavailable(t, nowhere(t, client(wiretest.Start(t, awsfake.Config{}).URL())))
}

func TestRefusedConnectionIsUnavailable(t *testing.T) {
	t.Parallel()
	wiretest.Unavailable(t, nowhere(t, client(wiretest.Refusing(t))))
}

func TestMissingCredentialsAreUnavailable(t *testing.T) {
	t.Parallel()
	none := aws.CredentialsProviderFunc(func(ctx context.Context) (aws.Credentials, error) {
		return aws.Credentials{}, errors.New("no credentials")
	})
	c := sqs.New(sqs.Options{Region: "us-east-1", Credentials: none, Retryer: awsclient.Retryer()})
	for _, r := range nowhere(t, c).Publish(t.Context(), sinktest.Messages(2)) {
		if r.Class != outbox.Unknown && r.Class != outbox.Unavailable {
			t.Errorf("%v (%s, %v)", r.Class, r.Code, r.Err)
		}
	}
}

func TestConfigNamesEveryFault(t *testing.T) {
	t.Parallel()
	_, err := sqssink.New(nil, sqssink.Config{MaxMessageBytes: 2 << 20})
	for _, want := range []string{"client", "QueueURL", "MaxMessageBytes"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not name %s", err, want)
		}
	}
}

func TestWrongChecksumIsUnknownThoughAccepted(t *testing.T) {
	t.Parallel()
	fake := wiretest.Start(t, awsfake.Config{})
	s := sink(t, fake)
	if _, err := fake.AddFault(awsfake.Fault{Kind: awsfake.WrongMD5, Entry: 2, Count: 1}); err != nil {
		t.Fatal(err)
	}
	msgs := sinktest.Messages(3)
	for i, r := range s.Publish(t.Context(), msgs) {
		if r.Class != outbox.Unknown {
			t.Errorf("message %d: %v", i, r.Class)
		}
	}
	if n := len(service().Accepted(fake)); n != 3 {
		t.Errorf("the queue has %d messages", n)
	}
}

// A queue made before 2025-08 takes 256 KiB, whatever the sink is set to.
func TestQueueWithALowerLimitRejectsOnlyWhatIsTooLong(t *testing.T) {
	t.Parallel()
	fake := wiretest.Start(t, awsfake.Config{})
	s := sink(t, fake, "MaximumMessageSize", "1024")
	msgs := sinktest.Messages(10)
	msgs[4].Body = strings.Repeat("x", 2000)
	msgs[4].Size += 2000
	wiretest.Classes(t, s, msgs, func(i int) outbox.Class {
		if i == 4 {
			return outbox.Rejected
		}
		return outbox.Accepted
	})
}

func BenchmarkPublish(b *testing.B) { wiretest.BenchmarkPublish(b, open(), answer) }

// The same through a connection to the fake, whose time is counted too.
func BenchmarkPublishToFake(b *testing.B) {
	fake := wiretest.Start(b, awsfake.Config{History: awsfake.HistoryCounts, Discard: true})
	wiretest.BenchmarkNew(b, sink(b, fake))
}

// Without the SDK: what the sink itself costs per event.
func BenchmarkPublishWithoutSDK(b *testing.B) {
	s, msgs := nowhere(b, answersAll{}), sinktest.Messages(10)
	b.ReportAllocs()
	for n := 0; n < b.N; n += 10 {
		s.Publish(b.Context(), msgs)
	}
}
