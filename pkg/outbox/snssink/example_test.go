package snssink_test

import (
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sns"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/testingtb"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/awsclient"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest/awsfake"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/snssink"
)

// A sink for a FIFO topic. A relay calls Publish; here it is called by hand,
// against the fake of package awsfake.
func ExampleNew() {
	t, end := testingtb.New()
	defer end()
	fake := awsfake.New(awsfake.Config{})
	if err := fake.Start("127.0.0.1:0"); err != nil {
		panic(err)
	}
	defer func() { _ = fake.Close() }()
	client := sns.New(sns.Options{ // or sns.NewFromConfig, with the same two settings
		BaseEndpoint: aws.String(fake.URL()), Region: fake.Region(),
		Credentials: credentials.NewStaticCredentialsProvider("any", "any", ""),
		HTTPClient:  awsclient.HTTPClient(128),
		Retryer:     awsclient.Retryer(),
	})
	topic, err := client.CreateTopic(t.Context(), &sns.CreateTopicInput{
		Name: aws.String("orders.fifo"), Attributes: map[string]string{"FifoTopic": "true"},
	})
	if err != nil {
		panic(err)
	}

	sink, err := snssink.New(client, snssink.Config{TopicARN: *topic.TopicArn})
	if err != nil {
		panic(err)
	}
	results := sink.Publish(t.Context(), []outbox.Message{
		{GroupID: "order:42", DeduplicationID: "e1", Body: `{"total": 12}`, Size: 13},
	})
	for _, r := range results {
		fmt.Println(r.Class)
	}
	// Output: accepted
}
