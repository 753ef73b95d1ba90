package main

import (
	"context"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/serverless-outbox/serverless-outbox/bench/load"
)

// sender publishes for a peer, one message a call, as users of these outboxes have to write it. target is the URL of
// the queue or the ARN of the topic. queues is nil when it is a topic, topics is nil when it is a queue.
type sender struct {
	target *string
	queues *sqs.Client
	topics *sns.Client
}

// idle is how many open connections without a call a sender keeps: more than any peer has calls in flight. The
// SDK's default of 10 for a host would open a new connection for nearly every call.
const idle = 2048

func newSender(d load.Destination) *sender {
	client := awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
		t.MaxIdleConns, t.MaxIdleConnsPerHost, t.DisableCompression = idle, idle, true
	})
	keys := credentials.NewStaticCredentialsProvider("test", "test", "")
	const region = "us-east-1"
	s := &sender{target: &d.Target}
	if d.Service == "sns" {
		s.topics = sns.New(sns.Options{Region: region, BaseEndpoint: &d.Endpoint, Credentials: keys, HTTPClient: client})
	} else {
		s.queues = sqs.New(sqs.Options{Region: region, BaseEndpoint: &d.Endpoint, Credentials: keys, HTTPClient: client})
	}
	return s
}

func (s *sender) send(ctx context.Context, eventID, group, body string) error {
	var err error
	if s.topics != nil {
		_, err = s.topics.Publish(ctx, &sns.PublishInput{
			TopicArn: s.target, Message: aws.String(body), MessageGroupId: aws.String(group), MessageDeduplicationId: aws.String(eventID),
		})
	} else {
		_, err = s.queues.SendMessage(ctx, &sqs.SendMessageInput{
			QueueUrl: s.target, MessageBody: aws.String(body), MessageGroupId: aws.String(group), MessageDeduplicationId: aws.String(eventID),
		})
	}
	return err
}
