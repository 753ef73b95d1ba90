package brokers_test

import (
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

func queueChecks() []check {
	return []check{
		{name: "sqs.missing-queue-has-a-typed-error", run: func(c *c) {
			url := c.queue(nil)
			_, err := c.sqs.DeleteQueue(c.ctx, &sqs.DeleteQueueInput{QueueUrl: &url})
			c.must(err)
			_, err = c.sendBatch(url, entry("1", "g", "1", "x"))
			var gone *sqstypes.QueueDoesNotExist
			if !errors.As(err, &gone) {
				c.fatalf("%v is no QueueDoesNotExist", err)
			}
			_, err = c.sqs.GetQueueUrl(c.ctx, &sqs.GetQueueUrlInput{QueueName: str(unique(".fifo"))})
			if !errors.As(err, &gone) {
				c.fatalf("%v is no QueueDoesNotExist", err)
			}
		}},
		{name: "sqs.fifo-queue-name-must-end-with-fifo", run: func(c *c) {
			_, err := c.sqs.CreateQueue(c.ctx, &sqs.CreateQueueInput{QueueName: str(unique("")), Attributes: attrs{"FifoQueue": "true"}})
			c.refused("FIFO without suffix", err, "InvalidParameterValue")
			_, err = c.sqs.CreateQueue(c.ctx, &sqs.CreateQueueInput{QueueName: str(unique(".fifo"))})
			c.refused("suffix without FIFO", err, "InvalidParameterValue")
		}},
		{name: "sqs.create-queue-again-is-no-error", run: func(c *c) {
			name := unique(".fifo")
			in := &sqs.CreateQueueInput{QueueName: &name, Attributes: attrs{"FifoQueue": "true", "VisibilityTimeout": "7"}}
			first, err := c.sqs.CreateQueue(c.ctx, in)
			c.must(err)
			again, err := c.sqs.CreateQueue(c.ctx, in)
			c.must(err)
			found, err := c.sqs.GetQueueUrl(c.ctx, &sqs.GetQueueUrlInput{QueueName: &name})
			c.must(err)
			if *first.QueueUrl != *again.QueueUrl || *first.QueueUrl != *found.QueueUrl {
				c.fatalf("URLs %s, %s, %s", *first.QueueUrl, *again.QueueUrl, *found.QueueUrl)
			}
		}},
		{name: "sqs.create-queue-with-other-attributes-refused", run: func(c *c) {
			name := unique(".fifo")
			_, err := c.sqs.CreateQueue(c.ctx, &sqs.CreateQueueInput{QueueName: &name, Attributes: attrs{"FifoQueue": "true", "VisibilityTimeout": "7"}})
			c.must(err)
			_, err = c.sqs.CreateQueue(c.ctx, &sqs.CreateQueueInput{QueueName: &name, Attributes: attrs{"FifoQueue": "true", "VisibilityTimeout": "8"}})
			var exists *sqstypes.QueueNameExists
			if !errors.As(err, &exists) {
				c.fatalf("%v is no QueueNameExists", err)
			}
		}},
		{name: "sqs.default-attributes", run: func(c *c) {
			url := c.queue(nil)
			for name, want := range map[string]string{
				"FifoQueue": "true", "ContentBasedDeduplication": "false", "DeduplicationScope": "queue", "FifoThroughputLimit": "perQueue",
				"MaximumMessageSize": "1048576", "VisibilityTimeout": "30", "MessageRetentionPeriod": "345600",
			} {
				if got := c.attribute(url, name); got != want {
					c.errorf("%s is %q, want %q", name, got, want)
				}
			}
		}},
		{name: "sqs.set-attributes", run: func(c *c) {
			url := c.queue(nil)
			_, err := c.sqs.SetQueueAttributes(c.ctx, &sqs.SetQueueAttributesInput{QueueUrl: &url, Attributes: attrs{"VisibilityTimeout": "99"}})
			c.must(err)
			if got := c.attribute(url, "VisibilityTimeout"); got != "99" {
				c.fatalf("VisibilityTimeout is %s", got)
			}
		}},
		{name: "sqs.counts", run: func(c *c) {
			url := c.queue(nil)
			c.sendAll(url, "a", "1")
			c.sendAll(url, "b", "2", "3")
			c.one(url)
			visible, hidden := c.attribute(url, "ApproximateNumberOfMessages"), c.attribute(url, "ApproximateNumberOfMessagesNotVisible")
			if visible != "2" || hidden != "1" {
				c.fatalf("%s visible and %s in flight, want 2 and 1", visible, hidden)
			}
		}},
		{name: "sqs.purge", run: func(c *c) {
			url := c.queue(nil)
			c.sendAll(url, "g", "1", "2")
			_, err := c.sqs.PurgeQueue(c.ctx, &sqs.PurgeQueueInput{QueueUrl: &url})
			c.must(err)
			c.want("purged", c.receive(url, 10, 1))
			c.sendAll(url, "g", "3")
			c.want("after", c.receive(url, 10, 2), "3")
		}},
		{name: "sqs.list-queues", run: func(c *c) {
			url := c.queue(nil)
			out, err := c.sqs.ListQueues(c.ctx, &sqs.ListQueuesInput{QueueNamePrefix: str(url[len(url)-len(unique(".fifo")):])})
			c.must(err)
			if !slices.Contains(out.QueueUrls, url) {
				c.fatalf("%v lacks %s", out.QueueUrls, url)
			}
		}},
	}
}

func deadLetterChecks() []check {
	// fail receives the next message as often as it takes to dead-letter it.
	fail := func(c *c, url string, times int) {
		for range times {
			m := c.one(url)
			c.hide(url, &m, 0)
		}
	}
	return []check{
		{name: "sqs.dlq-after-max-receives-unblocks-the-group", run: func(c *c) {
			url, dlq := c.withDLQ("2")
			c.sendAll(url, "g", "1", "2")
			fail(c, url, 2)
			c.want("the group goes on", c.receive(url, 10, 3), "2")
			got := c.receive(dlq, 10, 3)
			c.want("dead", got, "1")
			if g := system(&got[0], sqstypes.MessageSystemAttributeNameMessageGroupId); g != "g" {
				c.errorf("group id %q, want the original", g)
			}
			if arn := system(&got[0], sqstypes.MessageSystemAttributeNameDeadLetterQueueSourceArn); arn != c.arn(url) {
				c.errorf("source %q, want %q", arn, c.arn(url))
			}
		}},
		{name: "sqs.dlq-copy-has-the-message-id-as-dedup-id", run: func(c *c) {
			url, dlq := c.withDLQ("1")
			sent := c.send(url, "g", "original", "1")
			fail(c, url, 1)
			c.receive(url, 1, 1)
			m := c.one(dlq)
			if got := system(&m, sqstypes.MessageSystemAttributeNameMessageDeduplicationId); got != *sent.MessageId {
				c.fatalf("deduplication id %q, want the message id %q", got, *sent.MessageId)
			}
		}},
		{name: "sqs.redrive-policy-needs-a-fifo-dlq", run: func(c *c) {
			policy, err := json.Marshal(attrs{"deadLetterTargetArn": c.arn(c.standardQueue()), "maxReceiveCount": "2"})
			c.must(err)
			_, err = c.sqs.CreateQueue(c.ctx, &sqs.CreateQueueInput{QueueName: str(unique(".fifo")), Attributes: attrs{"FifoQueue": "true", "RedrivePolicy": string(policy)}})
			c.refused("create", err)
		}},
		{name: "sqs.redrive-policy-needs-an-existing-dlq", run: func(c *c) {
			url := c.queue(nil)
			policy, err := json.Marshal(attrs{"deadLetterTargetArn": c.arn(url)[:len(c.arn(url))-len("x.fifo")] + "-missing.fifo", "maxReceiveCount": "2"})
			c.must(err)
			_, err = c.sqs.SetQueueAttributes(c.ctx, &sqs.SetQueueAttributesInput{QueueUrl: &url, Attributes: attrs{"RedrivePolicy": string(policy)}})
			c.refused("set", err)
		}},
		{name: "sqs.list-dead-letter-source-queues", run: func(c *c) {
			url, dlq := c.withDLQ("2")
			out, err := c.sqs.ListDeadLetterSourceQueues(c.ctx, &sqs.ListDeadLetterSourceQueuesInput{QueueUrl: &dlq})
			c.must(err)
			if !slices.Equal(out.QueueUrls, []string{url}) {
				c.fatalf("%v, want %s", out.QueueUrls, url)
			}
		}},
		{name: "sqs.move-task-brings-messages-back", run: func(c *c) {
			url, dlq := c.withDLQ("1")
			c.sendAll(url, "g", "1", "2", "3")
			for range 3 {
				fail(c, url, 1)
			}
			c.want("all dead", c.receive(url, 10, 1))
			arn := c.arn(dlq)
			_, err := c.sqs.StartMessageMoveTask(c.ctx, &sqs.StartMessageMoveTaskInput{SourceArn: &arn})
			c.must(err)
			c.awaitMove(arn, 3)
			c.want("back in order", c.drain(url), "1", "2", "3")
		}},
		{name: "sqs.move-task-needs-a-dead-letter-queue", run: func(c *c) {
			_, err := c.sqs.StartMessageMoveTask(c.ctx, &sqs.StartMessageMoveTaskInput{SourceArn: str(c.arn(c.queue(nil)))})
			c.refused("start", err, "InvalidParameterValue")
		}},
	}
}

func (c *c) awaitMove(arn string, want int64) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		out, err := c.sqs.ListMessageMoveTasks(c.ctx, &sqs.ListMessageMoveTasksInput{SourceArn: &arn})
		c.must(err)
		if len(out.Results) != 1 {
			c.fatalf("%d tasks, want 1", len(out.Results))
		}
		r := out.Results[0]
		switch *r.Status {
		case "COMPLETED":
			if r.ApproximateNumberOfMessagesMoved != want {
				c.fatalf("moved %d, want %d", r.ApproximateNumberOfMessagesMoved, want)
			}
			return
		case "RUNNING":
		default:
			c.fatalf("task %s", *r.Status)
		}
		select {
		case <-tick.C:
		case <-c.ctx.Done():
			c.fatalf("the task does not end")
		}
	}
}
