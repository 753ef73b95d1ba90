package consumer_test

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/google/uuid"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/history"
	"github.com/serverless-outbox/serverless-outbox/localstack/demo/consumer"
)

// queue hands out batches and then waits.
type queue struct {
	mu      sync.Mutex
	batches [][]types.Message
	log     []string
	empty   func()
	refuse  bool
}

func (q *queue) note(s string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.log = append(q.log, s)
}

func (q *queue) ReceiveMessage(ctx context.Context, _ *sqs.ReceiveMessageInput, _ ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.batches) == 0 {
		q.empty()
		return nil, ctx.Err()
	}
	batch := q.batches[0]
	q.batches = q.batches[1:]
	return &sqs.ReceiveMessageOutput{Messages: batch}, nil
}

func (q *queue) DeleteMessageBatch(_ context.Context, in *sqs.DeleteMessageBatchInput, _ ...func(*sqs.Options)) (*sqs.DeleteMessageBatchOutput, error) {
	if q.refuse {
		return &sqs.DeleteMessageBatchOutput{Failed: []types.BatchResultErrorEntry{{Message: aws.String("handle has expired")}}}, nil
	}
	for _, e := range in.Entries {
		q.note("delete " + aws.ToString(e.ReceiptHandle))
	}
	return &sqs.DeleteMessageBatchOutput{}, nil
}

func (q *queue) Received(r history.Receipt) {
	q.note("take " + r.EventID.String()[35:] + " " + r.Consumer + " " + r.Destination)
}

func message(n int) types.Message {
	id := uuid.UUID{15: byte(n)}
	return types.Message{
		Body: aws.String("{}"), ReceiptHandle: aws.String(strconv.Itoa(n)),
		MessageAttributes: map[string]types.MessageAttributeValue{"event_id": {StringValue: aws.String(id.String())}},
	}
}

func TestMessagesAreTakenInOrderBeforeTheyAreDeleted(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	q := &queue{batches: [][]types.Message{{message(1), message(2)}, {}, {message(2)}}, empty: cancel}
	c := consumer.New(q, "billing", "default", "url", q)
	if err := c.Run(ctx, 1); err != nil {
		t.Fatal(err)
	}
	want := []string{"take 1 billing default", "take 2 billing default", "delete 1", "delete 2", "take 2 billing default", "delete 2"}
	if !slices.Equal(q.log, want) {
		t.Errorf("log %q\nwant %q", q.log, want)
	}
	if c.Distinct() != 2 {
		t.Errorf("%d events, want 2", c.Distinct())
	}
}

func TestRunEndsWithTheFirstFailure(t *testing.T) {
	t.Parallel()
	for name, q := range map[string]*queue{
		"a message of somebody else": {batches: [][]types.Message{{{MessageId: aws.String("m")}}}},
		"a refused delete":           {batches: [][]types.Message{{message(1)}}, refuse: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancelCause(t.Context())
			q.empty = func() { cancel(errors.New("went on")) }
			err := consumer.New(q, "billing", "default", "url", q).Run(ctx, 1)
			if err == nil || err.Error() == "went on" {
				t.Errorf("err = %v, want the failure", err)
			}
		})
	}
}
