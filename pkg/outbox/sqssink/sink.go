// Package sqssink publishes to an SQS FIFO queue.
package sqssink

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/internal/awsbatch"
)

// MaxBytes is the largest message, and the largest batch in total, that SQS
// takes: 1 MiB (SQS API reference, SendMessageBatch). A queue may allow less,
// in its attribute MaximumMessageSize.
const MaxBytes = 1 << 20

// Client is the part of [sqs.Client] that the sink needs.
type Client interface {
	SendMessageBatch(ctx context.Context, in *sqs.SendMessageBatchInput, opts ...func(*sqs.Options)) (*sqs.SendMessageBatchOutput, error)
}

// Config says where to publish.
type Config struct {
	// QueueURL is the URL of a FIFO queue. Required.
	QueueURL string
	// MaxMessageBytes is the largest message that the queue takes, at most
	// MaxBytes. Lower it to the queue's MaximumMessageSize. Defaults to 1 MiB.
	MaxMessageBytes int
}

// Sink is an [outbox.Sink] for one queue.
type Sink struct {
	client Client
	url    string
	sender *awsbatch.Sender
}

var _ outbox.Sink = (*Sink)(nil)

// New returns a sink. It names every fault of cfg at once. Give client no
// retries of its own, and a connection per call in flight: see package
// awsclient.
func New(client Client, cfg Config) (*Sink, error) {
	cfg.MaxMessageBytes = cmp.Or(cfg.MaxMessageBytes, MaxBytes)
	var faults []error
	if client == nil {
		faults = append(faults, errors.New("client: is nil"))
	}
	if cfg.QueueURL == "" {
		faults = append(faults, errors.New("QueueURL: is empty"))
	}
	if cfg.MaxMessageBytes < 1 || cfg.MaxMessageBytes > MaxBytes {
		faults = append(faults, fmt.Errorf("MaxMessageBytes: %d is not between 1 and %d", cfg.MaxMessageBytes, MaxBytes))
	}
	if err := errors.Join(faults...); err != nil {
		return nil, fmt.Errorf("sqssink config: %w", err)
	}
	s := &Sink{client: client, url: cfg.QueueURL}
	s.sender = awsbatch.New(s.call, outbox.Limits{
		Entries:      awsbatch.MaxEntries,
		MessageBytes: cfg.MaxMessageBytes,
		// The queue's MaximumMessageSize holds for each message, not for their
		// sum.
		BatchBytes: MaxBytes,
	})
	return s, nil
}

// Limits implements [outbox.Sink].
func (s *Sink) Limits() outbox.Limits { return s.sender.Limits() }

// Publish implements [outbox.Sink] with SendMessageBatch. When the queue
// refuses a request as a whole, the messages are sent again in smaller ones, so
// that only the message to blame is rejected.
func (s *Sink) Publish(ctx context.Context, msgs []outbox.Message) []outbox.Result {
	return s.sender.Publish(ctx, msgs)
}

func (s *Sink) call(ctx context.Context, msgs []outbox.Message) ([]awsbatch.Answer, error) {
	dataType := "String"
	ids := make([]string, len(msgs))
	entries := make([]types.SendMessageBatchRequestEntry, len(msgs))
	for i := range msgs {
		m := &msgs[i]
		ids[i] = awsbatch.EntryID(i)
		entries[i] = types.SendMessageBatchRequestEntry{
			Id:                     &ids[i],
			MessageBody:            &m.Body,
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
	out, err := s.client.SendMessageBatch(ctx, &sqs.SendMessageBatchInput{QueueUrl: &s.url, Entries: entries})
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
