// Package snssink publishes to an SNS FIFO topic.
package snssink

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/internal/awsbatch"
)

// MaxBytes is the largest message, and the largest batch in total, that a topic
// can be made to take: 1 MiB. DefaultMaxBytes is what a topic takes unless its
// attribute MaximumMessageSize says more (SNS API reference, CreateTopic).
const (
	MaxBytes        = 1 << 20
	DefaultMaxBytes = 256 << 10
)

// Client is the part of [sns.Client] that the sink needs.
type Client interface {
	PublishBatch(ctx context.Context, in *sns.PublishBatchInput, opts ...func(*sns.Options)) (*sns.PublishBatchOutput, error)
}

// Config says where to publish.
type Config struct {
	// TopicARN is the ARN of a FIFO topic. Required.
	TopicARN string
	// MaxMessageBytes is the largest message that the topic takes, at most
	// MaxBytes. Raise it with the topic's MaximumMessageSize. Defaults to
	// 256 KiB.
	MaxMessageBytes int
}

// Sink is an [outbox.Sink] for one topic.
type Sink struct {
	client Client
	arn    string
	sender *awsbatch.Sender
}

var _ outbox.Sink = (*Sink)(nil)

// New returns a sink. It names every fault of cfg at once. Give client no
// retries of its own, and a connection per call in flight: see package
// awsclient.
func New(client Client, cfg Config) (*Sink, error) {
	cfg.MaxMessageBytes = cmp.Or(cfg.MaxMessageBytes, DefaultMaxBytes)
	var faults []error
	if client == nil {
		faults = append(faults, errors.New("client: is nil"))
	}
	if cfg.TopicARN == "" {
		faults = append(faults, errors.New("TopicARN: is empty"))
	}
	if cfg.MaxMessageBytes < 1 || cfg.MaxMessageBytes > MaxBytes {
		faults = append(faults, fmt.Errorf("MaxMessageBytes: %d is not between 1 and %d", cfg.MaxMessageBytes, MaxBytes))
	}
	if err := errors.Join(faults...); err != nil {
		return nil, fmt.Errorf("snssink config: %w", err)
	}
	s := &Sink{client: client, arn: cfg.TopicARN}
	s.sender = awsbatch.New(s.call, outbox.Limits{
		Entries:      awsbatch.MaxEntries,
		MessageBytes: cfg.MaxMessageBytes,
		// A batch in total may be as large as one message, and 256 KiB on any
		// topic.
		BatchBytes: max(cfg.MaxMessageBytes, DefaultMaxBytes),
	})
	return s, nil
}

// Limits implements [outbox.Sink].
func (s *Sink) Limits() outbox.Limits { return s.sender.Limits() }

// Publish implements [outbox.Sink] with PublishBatch. When the topic
// refuses a request as a whole, the messages are sent again in smaller ones, so
// that only the message to blame is rejected.
func (s *Sink) Publish(ctx context.Context, msgs []outbox.Message) []outbox.Result {
	return s.sender.Publish(ctx, msgs)
}

func (s *Sink) call(ctx context.Context, msgs []outbox.Message) ([]awsbatch.Answer, error) {
	dataType := "String"
	ids := make([]string, len(msgs))
	entries := make([]types.PublishBatchRequestEntry, len(msgs))
	for i := range msgs {
		m := &msgs[i]
		ids[i] = awsbatch.EntryID(i)
		entries[i] = types.PublishBatchRequestEntry{
			Id:                     &ids[i],
			Message:                &m.Body,
			MessageGroupId:         &m.GroupID,
			MessageDeduplicationId: &m.DeduplicationID,
		}
		if len(m.Attributes) == 0 {
			continue
		}
		attributes := make(map[string]types.MessageAttributeValue, len(m.Attributes))
		for k := range m.Attributes {
			a := &m.Attributes[k]
			attributes[a.Name] = types.MessageAttributeValue{DataType: &dataType, StringValue: &a.Value}
		}
		entries[i].MessageAttributes = attributes
	}
	out, err := s.client.PublishBatch(ctx, &sns.PublishBatchInput{TopicArn: &s.arn, PublishBatchRequestEntries: entries})
	if err != nil {
		return nil, err
	}
	answers := make([]awsbatch.Answer, 0, len(msgs))
	for i := range out.Successful {
		e := &out.Successful[i]
		answers = append(answers, awsbatch.Answer{
			ID:             aws.ToString(e.Id),
			Accepted:       true,
			MessageID:      aws.ToString(e.MessageId),
			SequenceNumber: aws.ToString(e.SequenceNumber),
		})
	}
	for i := range out.Failed {
		e := &out.Failed[i]
		answers = append(answers, awsbatch.Answer{
			ID:          aws.ToString(e.Id),
			Code:        aws.ToString(e.Code),
			Message:     aws.ToString(e.Message),
			SenderFault: e.SenderFault,
		})
	}
	return answers, nil
}
