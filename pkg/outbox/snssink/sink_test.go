package snssink_test

import (
	"context"
	"errors"
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

func openOwn(t *testing.T) sinktest.Harness {
	t.Helper()
	return harness(t, snssink.Config{})
}

func openSDK(t *testing.T) sinktest.Harness {
	t.Helper()
	return harness(t, snssink.Config{SDKCodec: true})
}

func service() wiretest.Service {
	return wiretest.Service{Kind: "topic", Operation: "PublishBatch", Throttled: "Throttled", Missing: "NotFound", Invalid: "InvalidParameter"}
}

func harness(t *testing.T, cfg snssink.Config) sinktest.Harness {
	t.Helper()
	fake := wiretest.Start(t, awsfake.Config{})
	return service().Harness(fake, sink(t, fake, cfg))
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
func nowhere(tb testing.TB, c snssink.Client) *snssink.Sink {
	tb.Helper()
	s, err := snssink.New(c, snssink.Config{TopicARN: "arn:aws:sns:us-east-1:000000000000:nowhere.fifo"})
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
	c := sns.New(sns.Options{Region: "us-east-1", Credentials: none, Retryer: awsclient.Retryer()})
	for _, r := range nowhere(t, c).Publish(t.Context(), sinktest.Messages(2)) {
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

// The topic takes 256 KiB, but the sink is set to more: the whole request is
// refused, and only the message to blame is rejected.
func TestTopicWithALowerLimitRejectsOnlyWhatIsTooLong(t *testing.T) {
	t.Parallel()
	fake := wiretest.Start(t, awsfake.Config{})
	s := sink(t, fake, snssink.Config{MaxMessageBytes: snssink.MaxBytes})
	msgs := sinktest.Messages(10)
	msgs[4].Body = strings.Repeat("x", 300<<10)
	msgs[4].Size += 300 << 10
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
	wiretest.BenchmarkNew(b, sink(b, fake, snssink.Config{}))
}

// Without the SDK: what the sink itself costs per event.
func BenchmarkPublishWithoutSDK(b *testing.B) {
	s, msgs := nowhere(b, answersAll{}), sinktest.Messages(10)
	b.ReportAllocs()
	for n := 0; n < b.N; n += 10 {
		s.Publish(b.Context(), msgs)
	}
}
