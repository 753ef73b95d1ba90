package sqsdlq

import (
	"context"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/serverless-outbox/serverless-outbox/internal/aws/batch"
	"github.com/serverless-outbox/serverless-outbox/internal/redrive/dlq"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

// TargetClient is the part of [sqs.Client] that a [Target] needs.
type TargetClient interface {
	SendMessageBatch(ctx context.Context, in *sqs.SendMessageBatchInput, opts ...func(*sqs.Options)) (*sqs.SendMessageBatchOutput, error)
}

// Target sends messages to a FIFO queue as they are, with attributes of any
// type. It is safe for concurrent use.
type Target struct {
	client TargetClient
	url    string
	sender *batch.Sender
}

var _ dlq.Target = (*Target)(nil)

// NewTarget returns the target at url. MessageBytes is the queue's
// MaximumMessageSize.
func NewTarget(client TargetClient, url string, messageBytes int) *Target {
	return &Target{client: client, url: url, sender: batch.New(nil, outbox.Limits{
		Entries: batch.MaxEntries, MessageBytes: messageBytes, BatchBytes: outbox.MaxMessageBytes,
	})}
}

// Limits implements [dlq.Target].
func (t *Target) Limits() outbox.Limits { return t.sender.Limits() }

// Send implements [dlq.Target] with SendMessageBatch. A request that is
// refused as a whole is halved and sent again, so that only the message to
// blame is rejected.
func (t *Target) Send(ctx context.Context, msgs []dlq.Outgoing) []outbox.Result {
	// The sender matches, halves and classifies. It sees what it needs for that,
	// and the place of the message as its body.
	stand := make([]outbox.Message, len(msgs))
	for i := range msgs {
		stand[i] = outbox.Message{
			GroupID: msgs[i].GroupID, DeduplicationID: msgs[i].DeduplicationID, Size: msgs[i].Size(), Body: strconv.Itoa(i),
		}
	}
	return t.sender.PublishWith(ctx, stand, func(ctx context.Context, part []outbox.Message) ([]batch.Answer, error) {
		entries := make([]types.SendMessageBatchRequestEntry, len(part))
		for k := range part {
			i, err := strconv.Atoi(part[k].Body)
			if err != nil {
				return nil, err
			}
			entries[k] = entry(batch.EntryID(k), &msgs[i])
		}
		return t.call(ctx, entries)
	})
}

func entry(id string, m *dlq.Outgoing) types.SendMessageBatchRequestEntry {
	e := types.SendMessageBatchRequestEntry{
		Id: &id, MessageBody: &m.Body, MessageGroupId: &m.GroupID, MessageDeduplicationId: &m.DeduplicationID,
	}
	if len(m.Attributes) > 0 {
		e.MessageAttributes = make(map[string]types.MessageAttributeValue, len(m.Attributes))
	}
	for i := range m.Attributes {
		a := &m.Attributes[i]
		v := types.MessageAttributeValue{DataType: &a.Type}
		if strings.HasPrefix(a.Type, "Binary") {
			v.BinaryValue = a.Binary
		} else {
			v.StringValue = &a.Value
		}
		e.MessageAttributes[a.Name] = v
	}
	if m.TraceHeader != "" {
		e.MessageSystemAttributes = map[string]types.MessageSystemAttributeValue{
			string(types.MessageSystemAttributeNameForSendsAWSTraceHeader): {DataType: aws.String("String"), StringValue: &m.TraceHeader},
		}
	}
	return e
}

func (t *Target) call(ctx context.Context, entries []types.SendMessageBatchRequestEntry) ([]batch.Answer, error) {
	out, err := t.client.SendMessageBatch(ctx, &sqs.SendMessageBatchInput{QueueUrl: &t.url, Entries: entries})
	if err != nil {
		return nil, err
	}
	answers := make([]batch.Answer, 0, len(entries))
	for i := range out.Successful {
		e := &out.Successful[i]
		answers = append(answers, batch.Answer{
			ID: aws.ToString(e.Id), Accepted: true,
			MessageID: aws.ToString(e.MessageId), SequenceNumber: aws.ToString(e.SequenceNumber),
		})
	}
	for i := range out.Failed {
		e := &out.Failed[i]
		answers = append(answers, batch.Answer{
			ID: aws.ToString(e.Id), Code: aws.ToString(e.Code), Message: aws.ToString(e.Message), SenderFault: e.SenderFault,
		})
	}
	return answers, nil
}
