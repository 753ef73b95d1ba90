package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/jackc/pgx/v5"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

const (
	// aggregates is the number of aggregates, each the number of events that one call of world.write writes of
	// an aggregate for a destination.
	aggregates = 5
	each       = 4
	// poisonedAggregate is the id of the aggregate whose events the test's consumer of the queue audit cannot
	// handle.
	poisonedAggregate = "3"
)

// write enqueues four events of each aggregate for each of the destinations default and audit, and adds four to
// w.written. The payloads are numbers, which go on from those of the calls before.
func (w *world) write(ctx context.Context) error {
	for n := range each {
		err := pgx.BeginFunc(ctx, w.pool, func(tx pgx.Tx) error {
			for a := range aggregates {
				for _, destination := range []string{"default", "audit"} {
					if _, err := outbox.Enqueue(ctx, tx, outbox.Event{
						AggregateType: "order", AggregateID: strconv.Itoa(a), Type: "order.changed", Destination: destination,
						Payload: json.RawMessage(strconv.Itoa(w.written + n)),
					}); err != nil {
						return err
					}
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("write events: %w", err)
		}
	}
	w.written += each
	return nil
}

// sent waits until every event is marked as sent, three minutes at most.
func (w *world) sent(ctx context.Context) error {
	// The schedule fires once a minute, up to a minute late; a cold start comes on top.
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	return until(ctx, "every event is sent", func(ctx context.Context) (bool, error) {
		var unsent int
		err := w.pool.QueryRow(ctx, `SELECT count(*) FROM outbox.events WHERE sent_at IS NULL`).Scan(&unsent)
		return unsent == 0, err
	})
}

// drain writes events, waits until the relay, which only the stack's schedule starts, has sent them, and takes
// those of the destination default from each queue that one of the stack outputs names.
func (w *world) drain(ctx context.Context, outputs ...string) error {
	from := w.written
	if err := w.write(ctx); err != nil {
		return err
	}
	if err := w.sent(ctx); err != nil {
		return err
	}
	for _, output := range outputs {
		if err := w.consume(ctx, output, from); err != nil {
			return err
		}
	}
	return nil
}

// consume takes the messages of one call of write from the queue that a stack output names. It fails after a minute,
// for a message too many, and unless the payloads of each aggregate are from, from+1 and so on, in this order.
func (w *world) consume(ctx context.Context, output string, from int) error {
	const want = aggregates * each
	next := map[string]int{}
	got := 0
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for got < want {
		messages, err := w.receive(ctx, output)
		if err != nil {
			return fmt.Errorf("%s after %d of %d messages: %w", output, got, want, err)
		}
		for i := range messages {
			m := &messages[i]
			aggregate := aggregateID(m)
			if expected := strconv.Itoa(from + next[aggregate]); aws.ToString(m.Body) != expected {
				return fmt.Errorf("%s: aggregate %s: event %s, want %s", output, aggregate, aws.ToString(m.Body), expected)
			}
			next[aggregate]++
			got++
			if err := w.drop(ctx, output, m); err != nil {
				return err
			}
		}
	}
	more, err := w.receive(ctx, output)
	if err != nil {
		return fmt.Errorf("%s: %w", output, err)
	}
	if len(more) > 0 || len(next) != aggregates {
		return fmt.Errorf("%s: %d messages too many, %d aggregates of %d", output, len(more), len(next), aggregates)
	}
	return nil
}

func (w *world) receive(ctx context.Context, output string) ([]types.Message, error) {
	queue, ok := w.outputs[output]
	if !ok {
		return nil, fmt.Errorf("the stack has no output %s", output)
	}
	out, err := w.queues.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
		QueueUrl: &queue, MaxNumberOfMessages: 10, WaitTimeSeconds: 1,
		MessageAttributeNames: []string{"All"},
	})
	if err != nil {
		return nil, err
	}
	return out.Messages, nil
}

func (w *world) drop(ctx context.Context, output string, m *types.Message) error {
	_, err := w.queues.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: aws.String(w.outputs[output]), ReceiptHandle: m.ReceiptHandle})
	return err
}

func eventID(m *types.Message) string {
	return aws.ToString(m.MessageAttributes["event_id"].StringValue)
}

func aggregateID(m *types.Message) string {
	return aws.ToString(m.MessageAttributes["aggregate_id"].StringValue)
}

// poison plays a consumer of the queue audit that cannot handle poisonedAggregate: it deletes the other messages,
// and gives those of the aggregate back until SQS has moved all four to the dead-letter queue. It adds the ids of
// their events, in the order of receipt, to w.poisoned, with which redrive compares. It fails after two minutes.
//
// It is not a queue of the topic, because ministack delivers from a topic without a group id, and a message without
// one cannot go back to a FIFO queue.
func (w *world) poison(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	return until(ctx, "the poisoned messages are dead letters", func(ctx context.Context) (bool, error) {
		messages, err := w.receive(ctx, "AuditQueueUrl")
		if err != nil {
			return false, err
		}
		for i := range messages {
			m := &messages[i]
			if aggregateID(m) != poisonedAggregate {
				if err = w.drop(ctx, "AuditQueueUrl", m); err != nil {
					return false, err
				}
				continue
			}
			if !slices.Contains(w.poisoned, eventID(m)) {
				w.poisoned = append(w.poisoned, eventID(m))
			}
			if _, err = w.queues.ChangeMessageVisibility(ctx, &sqs.ChangeMessageVisibilityInput{
				QueueUrl: aws.String(w.outputs["AuditQueueUrl"]), ReceiptHandle: m.ReceiptHandle, VisibilityTimeout: 0,
			}); err != nil {
				return false, err
			}
		}
		dead, err := w.depth(ctx, "AuditDeadLettersUrl")
		return dead == each, err
	})
}

func (w *world) depth(ctx context.Context, output string) (int, error) {
	queue, ok := w.outputs[output]
	if !ok {
		return 0, fmt.Errorf("the stack has no output %s", output)
	}
	out, err := w.queues.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
		QueueUrl: &queue, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameApproximateNumberOfMessages},
	})
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(out.Attributes[string(types.QueueAttributeNameApproximateNumberOfMessages)])
}

// redrive has the stack's redrive function send the messages of the dead-letter queue back, and fails unless
// that queue is empty then and the queue audit has the events of w.poisoned, in their order, within a minute.
func (w *world) redrive(ctx context.Context) error {
	if len(w.poisoned) != each {
		return fmt.Errorf("%d events were poisoned, want %d", len(w.poisoned), each)
	}
	var answer map[string]any
	// On AWS the redrive finds the queue to send to by itself. ministack has no ListDeadLetterSourceQueues.
	event := map[string]any{
		"source": "dlq", "queue": w.outputs["AuditDeadLettersArn"], "send_to": w.outputs["AuditQueueArn"],
	}
	if err := w.sam.invoke(ctx, stack, "RedriveFunction", event, &answer); err != nil {
		return err
	}
	dead, err := w.depth(ctx, "AuditDeadLettersUrl")
	if err != nil {
		return err
	}
	if dead != 0 {
		return fmt.Errorf("%d messages are still dead letters; the answer was %v", dead, answer)
	}
	var back []string
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for len(back) < each {
		messages, err := w.receive(ctx, "AuditQueueUrl")
		if err != nil {
			return fmt.Errorf("after %d messages: %w", len(back), err)
		}
		for i := range messages {
			back = append(back, eventID(&messages[i]))
			if err := w.drop(ctx, "AuditQueueUrl", &messages[i]); err != nil {
				return err
			}
		}
	}
	if !slices.Equal(back, w.poisoned) {
		return fmt.Errorf("%v came back, want %v", back, w.poisoned)
	}
	return nil
}

// archive makes the sent events 30 days old in the database, and expects the janitor function to move all of
// them to the archive. Then it makes them so old, by 100 more days, that the janitor moves them from the
// archive into one file in the stack's bucket.
func (w *world) archive(ctx context.Context) error {
	const all = 2 * aggregates * each
	for _, turn := range []struct {
		aged          string
		hot, archived int
		files         string
	}{
		{`UPDATE outbox.events SET sent_at = sent_at - interval '30 days'`, 0, all, "0 objects"},
		{`UPDATE outbox.archive SET sent_at = sent_at - interval '100 days'`, 0, 0, "1 objects"},
	} {
		if _, err := w.pool.Exec(ctx, turn.aged); err != nil {
			return fmt.Errorf("make events old: %w", err)
		}
		var answer map[string]any
		if err := w.sam.invoke(ctx, stack, "JanitorFunction", map[string]any{}, &answer); err != nil {
			return err
		}
		var hot, archived int
		if err := w.pool.QueryRow(ctx, `SELECT (SELECT count(*) FROM outbox.events), (SELECT count(*) FROM outbox.archive)`).Scan(&hot, &archived); err != nil {
			return fmt.Errorf("count: %w", err)
		}
		if hot != turn.hot || archived != turn.archived {
			return fmt.Errorf("%d in outbox.events, want %d; %d in outbox.archive, want %d; the answer was %v", hot, turn.hot, archived, turn.archived, answer)
		}
		there, err := w.sam.inventory(ctx)
		if err != nil {
			return err
		}
		if files := there["buckets"][w.outputs["ArchiveBucketName"]]; files != turn.files {
			return fmt.Errorf("%s in the bucket of the exports, want %s; the answer was %v", files, turn.files, answer)
		}
	}
	return nil
}
