// Package consumer reads FIFO queues the way they must be read to keep their order: a message is deleted only after it
// was dealt with, and the messages of one batch are dealt with in their order.
package consumer

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/google/uuid"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/history"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

// Journal records every message that a consumer receives. [history.Recorder] implements it. It must be safe for
// concurrent use.
type Journal interface {
	// Received records a message. It is called before the message is deleted.
	Received(r history.Receipt)
}

// API is the part of SQS that a consumer calls. [sqs.Client] implements it.
type API interface {
	// ReceiveMessage takes up to ten messages and hides them from other receives.
	ReceiveMessage(ctx context.Context, in *sqs.ReceiveMessageInput, opts ...func(*sqs.Options)) (*sqs.ReceiveMessageOutput, error)
	// DeleteMessageBatch deletes up to ten messages.
	DeleteMessageBatch(ctx context.Context, in *sqs.DeleteMessageBatchInput, opts ...func(*sqs.Options)) (*sqs.DeleteMessageBatchOutput, error)
}

// Consumer reads one queue. Its methods may be called concurrently.
type Consumer struct {
	api         API
	name        string
	destination string
	queueURL    string
	journal     Journal

	mu   sync.Mutex
	seen map[uuid.UUID]bool
}

// New returns a consumer of the queue at queueURL. name and destination are for the journal, which records every message
// that the consumer receives: destination is that of the events which the queue gets.
func New(api API, name, destination, queueURL string, journal Journal) *Consumer {
	return &Consumer{api: api, name: name, destination: destination, queueURL: queueURL, journal: journal, seen: map[uuid.UUID]bool{}}
}

// Name returns the consumer's name.
func (c *Consumer) Name() string { return c.name }

// Destination returns the destination of the events that the queue gets.
func (c *Consumer) Destination() string { return c.destination }

// Distinct returns the number of events received, each counted once.
func (c *Consumer) Distinct() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.seen)
}

// Run receives, records and deletes messages with several workers, side by side, until ctx ends, which is no error, or
// until a call fails. While a worker has messages of a group, SQS gives no other worker messages of that group.
func (c *Consumer) Run(ctx context.Context, workers int) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for ctx.Err() == nil {
				if err := c.receive(ctx); err != nil && ctx.Err() == nil {
					cancel(fmt.Errorf("consumer %s: %w", c.name, err))
				}
			}
		})
	}
	wg.Wait()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}

// receive waits up to ten seconds for messages, takes up to ten, records each, and then deletes them. No
// message is no error. It fails when a call fails, a message has no event id, or a message could not be
// deleted.
func (c *Consumer) receive(ctx context.Context) error {
	out, err := c.api.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
		QueueUrl:              &c.queueURL,
		MaxNumberOfMessages:   10,
		WaitTimeSeconds:       10,
		MessageAttributeNames: []string{outbox.AttributeEventID},
	})
	if err != nil {
		return fmt.Errorf("receive: %w", err)
	}
	if len(out.Messages) == 0 {
		return nil
	}
	entries := make([]types.DeleteMessageBatchRequestEntry, len(out.Messages))
	for i, m := range out.Messages {
		if err = c.take(m); err != nil {
			return err
		}
		entries[i] = types.DeleteMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), ReceiptHandle: m.ReceiptHandle}
	}
	// Recorded messages are deleted even when ctx has ended.
	deleted, err := c.api.DeleteMessageBatch(context.WithoutCancel(ctx), &sqs.DeleteMessageBatchInput{QueueUrl: &c.queueURL, Entries: entries})
	if err != nil {
		return fmt.Errorf("delete: %w", err)
	}
	if len(deleted.Failed) > 0 {
		return fmt.Errorf("delete: %s", aws.ToString(deleted.Failed[0].Message))
	}
	return nil
}

// take records one message in the journal and counts its event as received. It fails when the message has no
// event id.
func (c *Consumer) take(m types.Message) error {
	id, err := uuid.Parse(aws.ToString(m.MessageAttributes[outbox.AttributeEventID].StringValue))
	if err != nil {
		return fmt.Errorf("message %s without an event id: %w", aws.ToString(m.MessageId), err)
	}
	c.journal.Received(history.Receipt{
		Consumer: c.name, Destination: c.destination, EventID: id, Sum: history.Sum([]byte(aws.ToString(m.Body))),
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen[id] = true
	return nil
}
