package sqssink_test

import (
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/testingtb"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/awsclient"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest/awsfake"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/sqssink"
)

// A sink for a FIFO queue. A relay calls Publish; here it is called by hand,
// against the fake of package awsfake.
func ExampleNew() {
	t, end := testingtb.New()
	defer end()
	fake := awsfake.New(awsfake.Config{})
	if err := fake.Start("127.0.0.1:0"); err != nil {
		panic(err)
	}
	defer func() { _ = fake.Close() }()
	client := sqs.New(sqs.Options{ // or sqs.NewFromConfig, with the same two settings
		BaseEndpoint: aws.String(fake.URL()), Region: fake.Region(),
		Credentials: credentials.NewStaticCredentialsProvider("any", "any", ""),
		HTTPClient:  awsclient.HTTPClient(128),
		Retryer:     awsclient.Retryer(),
	})
	queue, err := client.CreateQueue(t.Context(), &sqs.CreateQueueInput{
		QueueName: aws.String("orders.fifo"), Attributes: map[string]string{"FifoQueue": "true"},
	})
	if err != nil {
		panic(err)
	}

	sink, err := sqssink.New(client, sqssink.Config{QueueURL: *queue.QueueUrl})
	if err != nil {
		panic(err)
	}
	results := sink.Publish(t.Context(), []outbox.Message{
		{GroupID: "order:42", DeduplicationID: "e1", Body: `{"total": 12}`, Size: 13},
		{GroupID: "order:43", DeduplicationID: "e2", Body: "\x01", Size: 1},
	})
	for _, r := range results {
		fmt.Printf("%s %q\n", r.Class, r.Code)
	}
	// Output:
	// accepted ""
	// rejected "InvalidMessageContents"
}
