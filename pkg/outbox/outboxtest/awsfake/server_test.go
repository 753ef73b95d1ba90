package awsfake_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	snstypes "github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest/awsfake"
)

func start(tb testing.TB, c awsfake.Config) *awsfake.Server {
	tb.Helper()
	s := awsfake.New(c)
	if err := s.Start("127.0.0.1:0"); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Errorf("close: %v", err)
		}
	})
	return s
}

func clients(s *awsfake.Server) (*sqs.Client, *sns.Client) {
	creds := credentials.NewStaticCredentialsProvider("test", "test", "")
	url := s.URL()
	return sqs.New(sqs.Options{BaseEndpoint: &url, Region: "us-east-1", Credentials: creds, RetryMaxAttempts: 1}),
		sns.New(sns.Options{BaseEndpoint: &url, Region: "us-east-1", Credentials: creds, RetryMaxAttempts: 1})
}

func createQueue(tb testing.TB, q *sqs.Client, name string) string {
	tb.Helper()
	out, err := q.CreateQueue(tb.Context(), &sqs.CreateQueueInput{QueueName: &name, Attributes: map[string]string{"FifoQueue": "true"}})
	if err != nil {
		tb.Fatal(err)
	}
	return *out.QueueUrl
}

func TestPublishedBatchReachesTheSubscribedQueueInOrder(t *testing.T) {
	t.Parallel()
	s := start(t, awsfake.Config{})
	q, n := clients(s)
	url := createQueue(t, q, "a.fifo")
	topic, err := n.CreateTopic(t.Context(), &sns.CreateTopicInput{Name: aws.String("t.fifo"), Attributes: map[string]string{"FifoTopic": "true"}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = n.Subscribe(t.Context(), &sns.SubscribeInput{
		TopicArn: topic.TopicArn, Protocol: aws.String("sqs"), Endpoint: aws.String("arn:aws:sqs:us-east-1:000000000000:a.fifo"),
		Attributes: map[string]string{"RawMessageDelivery": "true"},
	})
	if err != nil {
		t.Fatal(err)
	}
	out, err := n.PublishBatch(t.Context(), &sns.PublishBatchInput{TopicArn: topic.TopicArn, PublishBatchRequestEntries: []snstypes.PublishBatchRequestEntry{
		{Id: aws.String("a"), Message: aws.String("one & <two>"), MessageGroupId: aws.String("g"), MessageDeduplicationId: aws.String("1"), MessageAttributes: map[string]snstypes.MessageAttributeValue{"k": {DataType: aws.String("String"), StringValue: aws.String("ü")}}},
		{Id: aws.String("b"), Message: aws.String("two"), MessageGroupId: aws.String("g"), MessageDeduplicationId: aws.String("2")},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if len(out.Successful) != 2 || *out.Successful[0].SequenceNumber >= *out.Successful[1].SequenceNumber {
		t.Fatalf("answer: %+v", out)
	}
	sent, err := q.SendMessageBatch(t.Context(), &sqs.SendMessageBatchInput{QueueUrl: &url, Entries: []sqstypes.SendMessageBatchRequestEntry{
		{Id: aws.String("c"), MessageBody: aws.String("three"), MessageGroupId: aws.String("g"), MessageDeduplicationId: aws.String("3"), MessageAttributes: map[string]sqstypes.MessageAttributeValue{"k": {DataType: aws.String("String"), StringValue: aws.String("v")}}},
	}})
	if err != nil || len(sent.Successful) != 1 {
		t.Fatalf("send: %+v, %v", sent, err)
	}
	got, err := q.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &url, MaxNumberOfMessages: 10, MessageAttributeNames: []string{"All"}, MessageSystemAttributeNames: []sqstypes.MessageSystemAttributeName{"All"}})
	if err != nil {
		t.Fatal(err)
	}
	var bodies []string
	for _, m := range got.Messages {
		bodies = append(bodies, *m.Body)
	}
	if len(bodies) != 3 || bodies[0] != "one & <two>" || bodies[1] != "two" || bodies[2] != "three" {
		t.Fatalf("bodies: %q", bodies)
	}
	if v := got.Messages[0].MessageAttributes["k"].StringValue; v == nil || *v != "ü" {
		t.Fatalf("attributes: %+v", got.Messages[0].MessageAttributes)
	}
	var topics, queues int
	for a := range s.History() {
		switch a.Kind {
		case "topic":
			topics++
		case "queue":
			queues++
		}
	}
	if topics != 2 || queues != 3 {
		t.Fatalf("history: %d topic, %d queue acceptances", topics, queues)
	}
}

// stillClock is a clock that never moves, and says on waits that a call waits for a time.
type stillClock struct{ waits chan struct{} }

func (stillClock) Now() time.Time { return time.Unix(1_700_000_000, 0) }

func (c stillClock) AfterFunc(time.Duration, func()) (stop func() bool) {
	c.waits <- struct{}{}
	return func() bool { return true }
}

func TestWaitingReceiveGetsAMessageThatIsMadeVisible(t *testing.T) {
	t.Parallel()
	clock := stillClock{waits: make(chan struct{}, 1)}
	q, _ := clients(start(t, awsfake.Config{Clock: clock}))
	url := createQueue(t, q, "a.fifo")
	if _, err := q.SendMessageBatch(t.Context(), batch(url, "1")); err != nil {
		t.Fatal(err)
	}
	first, err := q.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &url})
	if err != nil || len(first.Messages) != 1 {
		t.Fatalf("received %+v, %v", first, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	received := make(chan error, 1)
	go func() {
		again, failed := q.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: &url, WaitTimeSeconds: 20})
		if failed == nil && len(again.Messages) != 1 {
			failed = fmt.Errorf("received %d messages", len(again.Messages))
		}
		received <- failed
	}()
	<-clock.waits
	_, err = q.ChangeMessageVisibility(t.Context(), &sqs.ChangeMessageVisibilityInput{QueueUrl: &url, ReceiptHandle: first.Messages[0].ReceiptHandle})
	if err != nil {
		t.Fatal(err)
	}
	if err := <-received; err != nil {
		t.Fatal(err)
	}
}
