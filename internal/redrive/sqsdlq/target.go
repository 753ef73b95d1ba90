package sqsdlq

import (
	"context"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/serverless-outbox/serverless-outbox/internal/aws/batch"
	"github.com/serverless-outbox/serverless-outbox/internal/redrive/dlq"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

// TargetClient is the part of [sqs.Client] that a [Target] calls.
type TargetClient interface {
	SendMessageBatch(ctx context.Context, in *sqs.SendMessageBatchInput, opts ...func(*sqs.Options)) (*sqs.SendMessageBatchOutput, error)
}

// Target sends messages to a FIFO queue of SQS. It is safe for concurrent use.
type Target struct {
	client TargetClient
	url    string
	sender *batch.Sender[dlq.Outgoing]
}

var _ dlq.Target = (*Target)(nil)

// NewTarget returns the target that sends to the queue with that URL. messageBytes is the most bytes of a message
// that the queue accepts. It does not call SQS.
func NewTarget(client TargetClient, url string, messageBytes int) *Target {
	t := &Target{client: client, url: url}
	t.sender = batch.New(t.call, func(m *dlq.Outgoing) batch.Entry {
		return batch.Entry{GroupID: m.GroupID, Size: m.Size()}
	}, outbox.Limits{Entries: batch.MaxEntries, MessageBytes: messageBytes, BatchBytes: outbox.MaxMessageBytes})
	return t
}

// Limits implements [dlq.Target].
func (t *Target) Limits() outbox.Limits { return t.sender.Limits() }

// Send implements [dlq.Target] with SendMessageBatch. A request that SQS refuses as a whole because of its messages is
// sent again in halves; [batch.Sender.Publish] says which message is then rejected.
func (t *Target) Send(ctx context.Context, msgs []dlq.Outgoing) []outbox.Result {
	return t.sender.Publish(ctx, msgs)
}

// call makes one call of SendMessageBatch and puts what became of each message into answers. It returns an error,
// and answers nothing, when the call failed as a whole.
func (t *Target) call(ctx context.Context, msgs []dlq.Outgoing, answers *batch.Answers) error {
	entries := make([]types.SendMessageBatchRequestEntry, len(msgs))
	for i := range msgs {
		entries[i] = entry(batch.EntryID(i), &msgs[i])
	}
	out, err := t.client.SendMessageBatch(ctx, &sqs.SendMessageBatchInput{QueueUrl: &t.url, Entries: entries})
	if err != nil {
		return err
	}
	for i := range out.Successful {
		e := &out.Successful[i]
		answers.Accept(aws.ToString(e.Id), aws.ToString(e.MessageId), aws.ToString(e.SequenceNumber))
	}
	for i := range out.Failed {
		e := &out.Failed[i]
		answers.Refuse(aws.ToString(e.Id), aws.ToString(e.Code), aws.ToString(e.Message), e.SenderFault)
	}
	return nil
}

// entry returns the message m as the entry id of a SendMessageBatch request.
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
