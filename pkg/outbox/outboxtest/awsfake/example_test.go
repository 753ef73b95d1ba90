package awsfake_test

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/testingtb"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest/awsfake"
)

// orders is the consumer under test: it keeps the total of each order, and
// drops an event that it knows.
type orders struct {
	total map[string]int
	known map[string]bool
}

// receive takes what the queue has, and deletes each message that was dealt
// with.
func (o *orders) receive(ctx context.Context, client *sqs.Client, queue string) error {
	out, err := client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
		QueueUrl: &queue, MaxNumberOfMessages: 10, MessageAttributeNames: []string{"All"},
	})
	if err != nil {
		return err
	}
	for _, m := range out.Messages {
		if event := *m.MessageAttributes["event_id"].StringValue; !o.known[event] {
			var body struct{ Total int }
			if err = json.Unmarshal([]byte(*m.Body), &body); err != nil {
				return err
			}
			o.total[*m.MessageAttributes["aggregate_id"].StringValue] += body.Total
			o.known[event] = true
		}
		_, err = client.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: &queue, ReceiptHandle: m.ReceiptHandle})
		if err != nil {
			return err
		}
	}
	return nil
}

// A test of a consumer. The same event is sent twice: within five minutes the
// queue drops the second message, and after that the consumer has to.
func Example_consumer() {
	t, end := testingtb.New()
	defer end()
	ctx := t.Context()
	fake := awsfake.New(awsfake.Config{})
	if err := fake.Start("127.0.0.1:0"); err != nil {
		panic(err)
	}
	defer func() { _ = fake.Close() }()
	client := sqs.New(sqs.Options{
		BaseEndpoint: aws.String(fake.URL()), Region: fake.Region(),
		Credentials: credentials.NewStaticCredentialsProvider("any", "any", ""),
	})
	created, err := client.CreateQueue(ctx, &sqs.CreateQueueInput{
		QueueName: aws.String("orders.fifo"), Attributes: map[string]string{"FifoQueue": "true"},
	})
	if err != nil {
		panic(err)
	}
	queue := *created.QueueUrl

	text := func(s string) types.MessageAttributeValue {
		return types.MessageAttributeValue{DataType: aws.String("String"), StringValue: &s}
	}
	send := func() {
		_, err := client.SendMessage(ctx, &sqs.SendMessageInput{
			QueueUrl: &queue, MessageBody: aws.String(`{"total": 12}`),
			MessageGroupId: aws.String("order:42"), MessageDeduplicationId: aws.String("e1"),
			MessageAttributes: map[string]types.MessageAttributeValue{"event_id": text("e1"), "aggregate_id": text("42")},
		})
		if err != nil {
			panic(err)
		}
	}
	consumer := orders{total: map[string]int{}, known: map[string]bool{}}
	receive := func() {
		if err := consumer.receive(ctx, client, queue); err != nil {
			panic(err)
		}
	}

	send()
	receive()
	send()
	receive()
	fmt.Println("at once:", consumer.total["42"], "from", fake.Tally("orders.fifo").Accepted, "message")

	fake.Advance(6 * time.Minute)
	send()
	receive()
	fmt.Println("later:", consumer.total["42"], "from", fake.Tally("orders.fifo").Accepted, "messages")
	// Output:
	// at once: 12 from 1 message
	// later: 12 from 2 messages
}

// A fault on purpose: the queue takes the message and the answer is lost, as
// when a connection breaks.
func ExampleServer_AddFault() {
	t, end := testingtb.New()
	defer end()
	fake := awsfake.New(awsfake.Config{})
	if err := fake.Start("127.0.0.1:0"); err != nil {
		panic(err)
	}
	defer func() { _ = fake.Close() }()
	client := sqs.New(sqs.Options{
		BaseEndpoint: aws.String(fake.URL()), Region: fake.Region(), RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider("any", "any", ""),
	})
	queue, err := client.CreateQueue(t.Context(), &sqs.CreateQueueInput{
		QueueName: aws.String("orders.fifo"), Attributes: map[string]string{"FifoQueue": "true"},
	})
	if err != nil {
		panic(err)
	}

	if _, err = fake.AddFault(awsfake.Fault{Kind: awsfake.LoseResponse, Operation: "SendMessage"}); err != nil {
		panic(err)
	}
	_, err = client.SendMessage(t.Context(), &sqs.SendMessageInput{
		QueueUrl: queue.QueueUrl, MessageBody: aws.String("{}"), MessageGroupId: aws.String("g"), MessageDeduplicationId: aws.String("d"),
	})
	fmt.Println("failed:", err != nil, "accepted:", fake.Tally("orders.fifo").Accepted)
	// Output: failed: true accepted: 1
}
