package sqsdlq

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/serverless-outbox/serverless-outbox/internal/aws/batch"
	"github.com/serverless-outbox/serverless-outbox/internal/redrive/dlq"
)

// QueueClient is the part of [sqs.Client] that a [Queue] calls.
type QueueClient interface {
	ReceiveMessage(ctx context.Context, in *sqs.ReceiveMessageInput, opts ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error)
	DeleteMessageBatch(ctx context.Context, in *sqs.DeleteMessageBatchInput, opts ...func(*sqs.Options)) (*sqs.DeleteMessageBatchOutput, error)
	ChangeMessageVisibilityBatch(ctx context.Context, in *sqs.ChangeMessageVisibilityBatchInput, opts ...func(*sqs.Options)) (*sqs.ChangeMessageVisibilityBatchOutput, error)
	GetQueueAttributes(ctx context.Context, in *sqs.GetQueueAttributesInput, opts ...func(*sqs.Options)) (*sqs.GetQueueAttributesOutput, error)
}

// Queue is a FIFO dead-letter queue of SQS. It is safe for concurrent use.
type Queue struct {
	client QueueClient
	url    string
}

var (
	_ dlq.Queue = (*Queue)(nil)
	_ dlq.Gauge = (*Queue)(nil)
)

// NewQueue returns the queue with that URL. It does not call SQS.
func NewQueue(client QueueClient, url string) *Queue { return &Queue{client: client, url: url} }

// Receive implements [dlq.Queue]. in.Attempt is the ReceiveRequestAttemptId of the call, by which a FIFO queue returns
// the same messages to a receive that is repeated.
func (q *Queue) Receive(ctx context.Context, in dlq.Receive) ([]dlq.Received, error) {
	out, err := q.client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
		QueueUrl:                    &q.url,
		MaxNumberOfMessages:         int32(in.Max), //nolint:gosec // from 1 to 10
		VisibilityTimeout:           seconds(in.Hide),
		WaitTimeSeconds:             seconds(in.Wait),
		ReceiveRequestAttemptId:     &in.Attempt,
		MessageAttributeNames:       []string{"All"},
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll},
	})
	if err != nil {
		return nil, fmt.Errorf("receive: %w", err)
	}
	received := make([]dlq.Received, len(out.Messages))
	for i := range out.Messages {
		m := &out.Messages[i]
		received[i] = dlq.Received{
			MessageID:       aws.ToString(m.MessageId),
			Receipt:         aws.ToString(m.ReceiptHandle),
			GroupID:         m.Attributes[string(types.MessageSystemAttributeNameMessageGroupId)],
			DeduplicationID: m.Attributes[string(types.MessageSystemAttributeNameMessageDeduplicationId)],
			SourceARN:       m.Attributes[string(types.MessageSystemAttributeNameDeadLetterQueueSourceArn)],
			TraceHeader:     m.Attributes[string(types.MessageSystemAttributeNameAWSTraceHeader)],
			Body:            aws.ToString(m.Body),
			Attributes:      attributes(m.MessageAttributes),
		}
	}
	return received, nil
}

// attributes converts message attributes of the SDK, sorted by name.
func attributes(from map[string]types.MessageAttributeValue) []dlq.Attribute {
	list := make([]dlq.Attribute, 0, len(from))
	for _, name := range slices.Sorted(maps.Keys(from)) {
		v := from[name]
		list = append(list, dlq.Attribute{
			Name: name, Type: aws.ToString(v.DataType), Value: aws.ToString(v.StringValue), Binary: v.BinaryValue,
		})
	}
	return list
}

// seconds returns d in whole seconds, rounded up because a message that is hidden for longer than asked does no harm,
// and at most the 12 hours that SQS accepts.
func seconds(d time.Duration) int32 {
	return int32(min((d+time.Second-1)/time.Second, 43_200)) //nolint:gosec // bounded
}

// Delete implements [dlq.Queue].
func (q *Queue) Delete(ctx context.Context, receipts []string) []error {
	entries := make([]types.DeleteMessageBatchRequestEntry, len(receipts))
	for i := range receipts {
		entries[i] = types.DeleteMessageBatchRequestEntry{Id: aws.String(batch.EntryID(i)), ReceiptHandle: &receipts[i]}
	}
	out, err := q.client.DeleteMessageBatch(ctx, &sqs.DeleteMessageBatchInput{QueueUrl: &q.url, Entries: entries})
	if err != nil {
		return slices.Repeat([]error{fmt.Errorf("delete: %w", err)}, len(receipts))
	}
	return answered(len(receipts), out.Failed, out.Successful, func(e *types.DeleteMessageBatchResultEntry) *string { return e.Id })
}

// Hide implements [dlq.Queue] with ChangeMessageVisibilityBatch.
func (q *Queue) Hide(ctx context.Context, receipts []string, d time.Duration) []error {
	entries := make([]types.ChangeMessageVisibilityBatchRequestEntry, len(receipts))
	for i := range receipts {
		entries[i] = types.ChangeMessageVisibilityBatchRequestEntry{
			Id: aws.String(batch.EntryID(i)), ReceiptHandle: &receipts[i], VisibilityTimeout: seconds(d),
		}
	}
	out, err := q.client.ChangeMessageVisibilityBatch(ctx, &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: &q.url, Entries: entries})
	if err != nil {
		return slices.Repeat([]error{fmt.Errorf("hide: %w", err)}, len(receipts))
	}
	return answered(len(receipts), out.Failed, out.Successful, func(e *types.ChangeMessageVisibilityBatchResultEntry) *string { return e.Id })
}

var errNoAnswer = errors.New("the answer does not mention the entry")

// answered returns, for each of the n entries of a batch request, nil when SQS answered that it succeeded, else
// its error. id returns the entry id of a success. An entry that the answer does not mention has errNoAnswer.
func answered[S any](n int, failures []types.BatchResultErrorEntry, successes []S, id func(*S) *string) []error {
	errs := slices.Repeat([]error{errNoAnswer}, n)
	for k := range successes {
		if i, ok := batch.EntryIndex(aws.ToString(id(&successes[k])), n); ok {
			errs[i] = nil
		}
	}
	for k := range failures {
		f := &failures[k]
		if i, ok := batch.EntryIndex(aws.ToString(f.Id), n); ok {
			errs[i] = &batch.EntryError{Code: aws.ToString(f.Code), Message: aws.ToString(f.Message), SenderFault: f.SenderFault}
		}
	}
	return errs
}

// Depth implements [dlq.Gauge]. The numbers are approximate: they are up to a minute old (GetQueueAttributes
// reference).
func (q *Queue) Depth(ctx context.Context) (dlq.Depth, error) {
	visible, hidden := types.QueueAttributeNameApproximateNumberOfMessages, types.QueueAttributeNameApproximateNumberOfMessagesNotVisible
	out, err := q.client.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
		QueueUrl: &q.url, AttributeNames: []types.QueueAttributeName{visible, hidden},
	})
	if err != nil {
		return dlq.Depth{}, fmt.Errorf("count: %w", err)
	}
	var d dlq.Depth
	for name, to := range map[types.QueueAttributeName]*int{visible: &d.Visible, hidden: &d.Hidden} {
		if *to, err = strconv.Atoi(out.Attributes[string(name)]); err != nil {
			return dlq.Depth{}, fmt.Errorf("count: %s: %w", strings.ToLower(string(name)), err)
		}
	}
	return d, nil
}
