package brokers_test

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/sns"
	snstypes "github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
)

type attrs = map[string]string

func unique(suffix string) string { return "obt-" + rand.Text()[:16] + suffix }

// queue makes a FIFO queue and returns its URL.
func (c *c) queue(more attrs) string {
	all := attrs{"FifoQueue": "true"}
	maps.Copy(all, more)
	out, err := c.sqs.CreateQueue(c.ctx, &sqs.CreateQueueInput{QueueName: str(unique(".fifo")), Attributes: all})
	c.must(err)
	return *out.QueueUrl
}

func (c *c) standardQueue() string {
	out, err := c.sqs.CreateQueue(c.ctx, &sqs.CreateQueueInput{QueueName: str(unique(""))})
	c.must(err)
	return *out.QueueUrl
}

func (c *c) attribute(url, name string) string {
	out, err := c.sqs.GetQueueAttributes(c.ctx, &sqs.GetQueueAttributesInput{
		QueueUrl: &url, AttributeNames: []sqstypes.QueueAttributeName{sqstypes.QueueAttributeName(name)},
	})
	c.must(err)
	return out.Attributes[name]
}

func (c *c) arn(url string) string { return c.attribute(url, "QueueArn") }

// withDLQ makes a queue that dead-letters to another after max receives.
func (c *c) withDLQ(limit string) (source, dlq string) {
	dlq = c.queue(nil)
	policy, err := json.Marshal(attrs{"deadLetterTargetArn": c.arn(dlq), "maxReceiveCount": limit})
	c.must(err)
	return c.queue(attrs{"RedrivePolicy": string(policy)}), dlq
}

func (c *c) trySend(in *sqs.SendMessageInput) (*sqs.SendMessageOutput, error) {
	return c.sqs.SendMessage(c.ctx, in)
}

func message(url, group, dedup, body string) *sqs.SendMessageInput {
	return &sqs.SendMessageInput{QueueUrl: &url, MessageGroupId: &group, MessageDeduplicationId: &dedup, MessageBody: &body}
}

func (c *c) send(url, group, dedup, body string) *sqs.SendMessageOutput {
	out, err := c.trySend(message(url, group, dedup, body))
	c.must(err)
	return out
}

// sendAll sends bodies to a group, each with itself as deduplication id.
func (c *c) sendAll(url, group string, bodies ...string) {
	for _, b := range bodies {
		c.send(url, group, b, b)
	}
}

func entry(id, group, dedup, body string) sqstypes.SendMessageBatchRequestEntry {
	return sqstypes.SendMessageBatchRequestEntry{Id: &id, MessageGroupId: &group, MessageDeduplicationId: &dedup, MessageBody: &body}
}

func (c *c) sendBatch(url string, entries ...sqstypes.SendMessageBatchRequestEntry) (*sqs.SendMessageBatchOutput, error) {
	return c.sqs.SendMessageBatch(c.ctx, &sqs.SendMessageBatchInput{QueueUrl: &url, Entries: entries})
}

// receive asks for up to n messages with everything that belongs to them and
// waits some seconds for the first.
func (c *c) receive(url string, n, wait int32) []sqstypes.Message {
	return c.receiveFor(url, n, wait, 30)
}

func (c *c) receiveFor(url string, n, wait, visibility int32) []sqstypes.Message {
	out, err := c.sqs.ReceiveMessage(c.ctx, &sqs.ReceiveMessageInput{
		QueueUrl: &url, MaxNumberOfMessages: n, WaitTimeSeconds: wait, VisibilityTimeout: visibility,
		MessageAttributeNames:       []string{"All"},
		MessageSystemAttributeNames: []sqstypes.MessageSystemAttributeName{sqstypes.MessageSystemAttributeNameAll},
	})
	c.must(err)
	return out.Messages
}

// one receives exactly one message.
func (c *c) one(url string) sqstypes.Message {
	got := c.receive(url, 1, 3)
	if len(got) != 1 {
		c.fatalf("received %d messages, want 1", len(got))
	}
	return got[0]
}

// drain receives and deletes until the queue gives nothing for a second.
func (c *c) drain(url string) []sqstypes.Message {
	var all []sqstypes.Message
	for {
		got := c.receive(url, 10, 1)
		if len(got) == 0 {
			return all
		}
		for i := range got {
			c.delete(url, &got[i])
		}
		all = append(all, got...)
	}
}

func (c *c) tryDelete(url string, m *sqstypes.Message) error {
	_, err := c.sqs.DeleteMessage(c.ctx, &sqs.DeleteMessageInput{QueueUrl: &url, ReceiptHandle: m.ReceiptHandle})
	return err
}

func (c *c) delete(url string, m *sqstypes.Message) { c.must(c.tryDelete(url, m)) }

func (c *c) tryHide(url string, m *sqstypes.Message, seconds int32) error {
	_, err := c.sqs.ChangeMessageVisibility(c.ctx, &sqs.ChangeMessageVisibilityInput{
		QueueUrl: &url, ReceiptHandle: m.ReceiptHandle, VisibilityTimeout: seconds,
	})
	return err
}

func (c *c) hide(url string, m *sqstypes.Message, seconds int32) { c.must(c.tryHide(url, m, seconds)) }

func bodies(ms []sqstypes.Message) []string {
	out := make([]string, len(ms))
	for i := range ms {
		out[i] = *ms[i].Body
	}
	return out
}

// want compares the bodies of messages, in order.
func (c *c) want(what string, got []sqstypes.Message, want ...string) {
	if b := bodies(got); !slices.Equal(b, want) {
		c.fatalf("%s: got %q, want %q", what, b, want)
	}
}

// refused checks that err is an API error with one of the codes, compared
// without the prefix of old; with no codes any refusal of the caller will do.
func (c *c) refused(what string, err error, codes ...string) {
	var api smithy.APIError
	if err == nil {
		c.fatalf("%s: accepted, want %v", what, codes)
	}
	if !errors.As(err, &api) {
		c.fatalf("%s: %v is not an API error", what, err)
	}
	code := api.ErrorCode()
	code = code[strings.LastIndexByte(code, '.')+1:]
	if len(codes) > 0 && !slices.Contains(codes, code) {
		c.fatalf("%s: code %q (%s), want %v", what, code, api.ErrorMessage(), codes)
	}
	if api.ErrorFault() == smithy.FaultServer {
		c.fatalf("%s: the server's fault (%s), want the caller's", what, code)
	}
}

func system(m *sqstypes.Message, name sqstypes.MessageSystemAttributeName) string {
	return m.Attributes[string(name)]
}

// topic makes a FIFO topic and returns its ARN.
func (c *c) topic(more attrs) string {
	all := attrs{"FifoTopic": "true"}
	maps.Copy(all, more)
	out, err := c.sns.CreateTopic(c.ctx, &sns.CreateTopicInput{Name: str(unique(".fifo")), Attributes: all})
	c.must(err)
	return *out.TopicArn
}

func (c *c) trySubscribe(topic, protocol, endpoint string, more attrs) (string, error) {
	out, err := c.sns.Subscribe(c.ctx, &sns.SubscribeInput{
		TopicArn: &topic, Protocol: &protocol, Endpoint: &endpoint, Attributes: more, ReturnSubscriptionArn: true,
	})
	if err != nil {
		return "", err
	}
	return *out.SubscriptionArn, nil
}

// subscribe makes a raw subscription of the queue.
func (c *c) subscribe(topic, url string, more attrs) string {
	all := attrs{"RawMessageDelivery": "true"}
	maps.Copy(all, more)
	arn, err := c.trySubscribe(topic, "sqs", c.arn(url), all)
	c.must(err)
	return arn
}

// subscribed makes a FIFO topic with one raw FIFO queue.
func (c *c) subscribed(topicAttrs, queueAttrs attrs) (topic, url string) {
	topic, url = c.topic(topicAttrs), c.queue(queueAttrs)
	c.subscribe(topic, url, nil)
	return topic, url
}

func publication(topic, group, dedup, body string) *sns.PublishInput {
	return &sns.PublishInput{TopicArn: &topic, MessageGroupId: &group, MessageDeduplicationId: &dedup, Message: &body}
}

func (c *c) publish(topic, group, dedup, body string) *sns.PublishOutput {
	out, err := c.sns.Publish(c.ctx, publication(topic, group, dedup, body))
	c.must(err)
	return out
}

func snsEntry(id, group, dedup, body string) snstypes.PublishBatchRequestEntry {
	return snstypes.PublishBatchRequestEntry{Id: &id, MessageGroupId: &group, MessageDeduplicationId: &dedup, Message: &body}
}

func (c *c) publishBatch(topic string, entries ...snstypes.PublishBatchRequestEntry) (*sns.PublishBatchOutput, error) {
	return c.sns.PublishBatch(c.ctx, &sns.PublishBatchInput{TopicArn: &topic, PublishBatchRequestEntries: entries})
}

func snsText(value string) snstypes.MessageAttributeValue {
	return snstypes.MessageAttributeValue{DataType: str("String"), StringValue: &value}
}

func sqsText(value string) sqstypes.MessageAttributeValue {
	return sqstypes.MessageAttributeValue{DataType: str("String"), StringValue: &value}
}
