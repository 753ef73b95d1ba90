package broker_test

import (
	"crypto/md5"
	"encoding/binary"
	"net"
	"path/filepath"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	snstypes "github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/serverless-outbox/serverless-outbox/bench/broker"
	"github.com/serverless-outbox/serverless-outbox/bench/load"
)

// The SDK checks the MD5 of what SQS took, so its word is that the body arrived.
func TestAcceptsWhatTheSDKSends(t *testing.T) {
	t.Parallel()
	const body = `{"note":"a+b & c=d %20 ü \"quoted\" \u2028"}`
	ctx := t.Context()
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := broker.New(0)
	go func() { _ = b.Serve(ctx, l) }()
	endpoint := aws.String("http://" + l.Addr().String())
	keys := credentials.NewStaticCredentialsProvider("test", "test", "")
	queues := sqs.New(sqs.Options{Region: "us-east-1", BaseEndpoint: endpoint, Credentials: keys})
	topics := sns.New(sns.Options{Region: "us-east-1", BaseEndpoint: endpoint, Credentials: keys})
	topic := aws.String("arn:aws:sns:us-east-1:000000000000:bench.fifo")
	id := func(n int64) *string { return aws.String(load.EventID(n).String()) }

	send := map[string]func(n int64) (messageID, sequence *string){
		"SendMessage": func(n int64) (*string, *string) {
			out := must(queues.SendMessage(ctx, &sqs.SendMessageInput{
				QueueUrl: endpoint, MessageBody: aws.String(body), MessageGroupId: aws.String("bench:7"), MessageDeduplicationId: id(n),
				MessageAttributes: map[string]sqstypes.MessageAttributeValue{"type": {DataType: aws.String("String"), StringValue: aws.String("order.placed")}},
			}))(t)
			return out.MessageId, out.SequenceNumber
		},
		"SendMessageBatch": func(n int64) (*string, *string) {
			out := must(queues.SendMessageBatch(ctx, &sqs.SendMessageBatchInput{
				QueueUrl: endpoint,
				Entries:  []sqstypes.SendMessageBatchRequestEntry{{Id: aws.String("a"), MessageBody: aws.String(body), MessageGroupId: aws.String("bench:7"), MessageDeduplicationId: id(n)}},
			}))(t)
			return out.Successful[0].MessageId, out.Successful[0].SequenceNumber
		},
		"Publish": func(n int64) (*string, *string) {
			out := must(topics.Publish(ctx, &sns.PublishInput{
				TopicArn: topic, Message: aws.String(body), MessageGroupId: aws.String("bench:7"), MessageDeduplicationId: id(n),
			}))(t)
			return out.MessageId, out.SequenceNumber
		},
		"PublishBatch": func(n int64) (*string, *string) {
			out := must(topics.PublishBatch(ctx, &sns.PublishBatchInput{
				TopicArn:                   topic,
				PublishBatchRequestEntries: []snstypes.PublishBatchRequestEntry{{Id: aws.String("a"), Message: aws.String(body), MessageGroupId: aws.String("bench:7"), MessageDeduplicationId: id(n)}},
			}))(t)
			return out.Successful[0].MessageId, out.Successful[0].SequenceNumber
		},
	}
	n := 0
	for name, call := range send {
		messageID, sequence := call(int64(n))
		if got, want := aws.ToString(messageID), broker.MessageID(n); got != want {
			t.Errorf("%s: message id %q, want %q", name, got, want)
		}
		if got, want := aws.ToString(sequence), broker.SequenceNumber(n); got != want {
			t.Errorf("%s: sequence number %q, want %q", name, got, want)
		}
		n++
	}
	path := filepath.Join(t.TempDir(), "accepted")
	if err = b.Write(path); err != nil {
		t.Fatal(err)
	}
	accepted, err := load.ReadRecords[broker.Acceptance](path)
	if err != nil {
		t.Fatal(err)
	}
	if len(accepted) != len(send) {
		t.Fatalf("%d messages were accepted, want %d", len(accepted), len(send))
	}
	sum := md5.Sum([]byte(body))
	for i, a := range accepted {
		if a.Number != int64(i) || a.Group != 7 || a.Sum != binary.LittleEndian.Uint64(sum[:8]) {
			t.Errorf("message %d was accepted as event %d of aggregate %d with sum %x", i, a.Number, a.Group, a.Sum)
		}
	}
}

func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}
