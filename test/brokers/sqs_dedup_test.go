package brokers_test

import (
	"crypto/sha256"
	"encoding/hex"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

func dedupChecks() []check {
	perGroup := attrs{"DeduplicationScope": "messageGroup", "FifoThroughputLimit": "perMessageGroupId"}
	content := attrs{"ContentBasedDeduplication": "true"}
	return []check{
		{name: "sqs.dedup-drops-the-second", run: func(c *c) {
			url := c.queue(nil)
			c.send(url, "g", "d", "1")
			c.send(url, "g", "d", "2")
			c.want("queue", c.drain(url), "1")
		}},
		{name: "sqs.dedup-returns-the-original-message-id", run: func(c *c) {
			url := c.queue(nil)
			first, second := c.send(url, "g", "d", "1"), c.send(url, "g", "d", "1")
			if *first.MessageId != *second.MessageId {
				c.fatalf("MessageId %s, then %s", *first.MessageId, *second.MessageId)
			}
		}},
		{name: "sqs.dedup-returns-the-original-sequence-number", run: func(c *c) {
			url := c.queue(nil)
			first, second := c.send(url, "g", "d", "1"), c.send(url, "g", "d", "1")
			if *first.SequenceNumber != *second.SequenceNumber {
				c.fatalf("SequenceNumber %s, then %s", *first.SequenceNumber, *second.SequenceNumber)
			}
		}},
		{name: "sqs.dedup-holds-while-in-flight", run: func(c *c) {
			url := c.queue(nil)
			c.send(url, "g", "d", "1")
			m := c.one(url)
			c.send(url, "g", "d", "2")
			c.delete(url, &m)
			c.want("queue", c.drain(url))
		}},
		{name: "sqs.dedup-holds-after-delete", run: func(c *c) {
			url := c.queue(nil)
			c.send(url, "g", "d", "1")
			c.want("first", c.drain(url), "1")
			c.send(url, "g", "d", "2")
			c.want("after", c.drain(url))
		}},
		{name: "sqs.dedup-ends-after-five-minutes", timed: true, long: true, run: func(c *c) {
			url := c.queue(nil)
			c.send(url, "g", "d", "1")
			c.pass(4*time.Minute + 50*time.Second)
			c.send(url, "g", "d", "2")
			// A duplicate does not start the window anew.
			c.pass(15 * time.Second)
			c.send(url, "g", "d", "3")
			c.want("queue", c.drain(url), "1", "3")
		}},
		{name: "sqs.dedup-queue-scope-ignores-the-group", run: func(c *c) {
			url := c.queue(nil)
			c.send(url, "a", "d", "1")
			c.send(url, "b", "d", "2")
			c.want("queue", c.drain(url), "1")
		}},
		{name: "sqs.dedup-scope-messageGroup", run: func(c *c) {
			url := c.queue(perGroup)
			c.send(url, "a", "d", "1")
			c.send(url, "b", "d", "2")
			if got := c.drain(url); len(got) != 2 {
				c.fatalf("got %q, want both", bodies(got))
			}
		}},
		{name: "sqs.dedup-scope-messageGroup-third-send", run: func(c *c) {
			url := c.queue(perGroup)
			c.send(url, "a", "d", "1")
			c.send(url, "b", "d", "2")
			c.send(url, "a", "d", "3")
			if got := c.drain(url); len(got) != 2 {
				c.fatalf("got %q, want the first two", bodies(got))
			}
		}},
		{name: "sqs.dedup-inside-one-batch", run: func(c *c) {
			url := c.queue(nil)
			out, err := c.sendBatch(url, entry("1", "g", "d", "1"), entry("2", "g", "d", "2"))
			c.must(err)
			if len(out.Successful) != 2 {
				c.fatalf("%d successful, want 2: a duplicate looks like a success", len(out.Successful))
			}
			c.want("queue", c.drain(url), "1")
		}},
		{name: "sqs.perMessageGroupId-needs-messageGroup-scope", run: func(c *c) {
			_, err := c.sqs.CreateQueue(c.ctx, &sqs.CreateQueueInput{QueueName: str(unique(".fifo")), Attributes: attrs{
				"FifoQueue": "true", "FifoThroughputLimit": "perMessageGroupId", "DeduplicationScope": "queue",
			}})
			c.refused("create", err)
		}},
		{name: "sqs.content-based-dedup", run: func(c *c) {
			url := c.queue(content)
			for _, body := range []string{"x", "x", "y"} {
				_, err := c.trySend(&sqs.SendMessageInput{QueueUrl: &url, MessageGroupId: str("g"), MessageBody: &body})
				c.must(err)
			}
			got := c.drain(url)
			c.want("queue", got, "x", "y")
			sum := sha256.Sum256([]byte("x"))
			if id := system(&got[0], sqstypes.MessageSystemAttributeNameMessageDeduplicationId); id != hex.EncodeToString(sum[:]) {
				c.fatalf("deduplication id %s, want the SHA-256 of the body", id)
			}
		}},
		{name: "sqs.content-based-explicit-id-overrides", run: func(c *c) {
			url := c.queue(content)
			c.send(url, "g", "d1", "x")
			c.send(url, "g", "d2", "x")
			c.want("queue", c.drain(url), "x", "x")
		}},
		{name: "sqs.sequence-number", run: func(c *c) {
			url := c.queue(nil)
			last := ""
			for _, id := range []string{"1", "2", "3"} {
				n := *c.send(url, "g", id, id).SequenceNumber
				if len(n) != 20 || !digits(n) || n <= last {
					c.fatalf("%q after %q: want 20 digits, growing", n, last)
				}
				last = n
			}
		}},
		{name: "sqs.sequence-number-across-batch-and-groups", run: func(c *c) {
			url := c.queue(nil)
			last := *c.send(url, "a", "0", "0").SequenceNumber
			out, err := c.sendBatch(url, entry("1", "a", "1", "1"), entry("2", "b", "2", "2"), entry("3", "a", "3", "3"))
			c.must(err)
			for _, s := range out.Successful {
				if *s.SequenceNumber <= last {
					c.fatalf("%s after %s", *s.SequenceNumber, last)
				}
				last = *s.SequenceNumber
			}
		}},
	}
}
