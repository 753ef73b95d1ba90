package brokers_test

import (
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

const mebibyte = 1 << 20

func sendChecks() []check {
	// refusing sends one message that must not be accepted.
	refusing := func(change func(*sqs.SendMessageInput), codes ...string) func(*c) {
		return func(c *c) {
			url := c.queue(nil)
			in := message(url, "g", "d", "x")
			change(in)
			_, err := c.trySend(in)
			c.refused("send", err, codes...)
			c.want("queue", c.receive(url, 1, 0))
		}
	}
	withAttributes := func(n int, value string) func(*sqs.SendMessageInput) {
		return func(in *sqs.SendMessageInput) {
			in.MessageAttributes = map[string]sqstypes.MessageAttributeValue{}
			for i := range n {
				in.MessageAttributes[fmt.Sprintf("a%02d", i)] = sqsText(value)
			}
		}
	}
	return []check{
		{name: "sqs.error-no-group-id", run: refusing(func(in *sqs.SendMessageInput) { in.MessageGroupId = nil }, "MissingParameter")},
		{name: "sqs.error-no-dedup-id", run: refusing(func(in *sqs.SendMessageInput) { in.MessageDeduplicationId = nil }, "InvalidParameterValue")},
		{name: "sqs.error-bad-group-id-characters", run: refusing(func(in *sqs.SendMessageInput) { in.MessageGroupId = str("a b") }, "InvalidParameterValue")},
		{name: "sqs.error-group-id-not-ascii", run: refusing(func(in *sqs.SendMessageInput) { in.MessageGroupId = str("ü") }, "InvalidParameterValue")},
		{name: "sqs.error-group-id-too-long", run: refusing(func(in *sqs.SendMessageInput) { in.MessageGroupId = str(strings.Repeat("g", 129)) }, "InvalidParameterValue")},
		{name: "sqs.error-bad-dedup-id-characters", run: refusing(func(in *sqs.SendMessageInput) { in.MessageDeduplicationId = str("a b") }, "InvalidParameterValue")},
		{name: "sqs.error-dedup-id-too-long", run: refusing(func(in *sqs.SendMessageInput) { in.MessageDeduplicationId = str(strings.Repeat("d", 129)) }, "InvalidParameterValue")},
		{name: "sqs.ids-of-128-punctuation-accepted", run: func(c *c) {
			url := c.queue(nil)
			id := strings.Repeat("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", 4)
			c.send(url, id, id, "x")
			m := c.one(url)
			if got := system(&m, sqstypes.MessageSystemAttributeNameMessageGroupId); got != id {
				c.fatalf("group id %q, want %q", got, id)
			}
		}},
		{name: "sqs.error-per-message-delay", run: refusing(func(in *sqs.SendMessageInput) { in.DelaySeconds = 1 }, "InvalidParameterValue")},
		{name: "sqs.queue-delay-applies", timed: true, run: func(c *c) {
			url := c.queue(attrs{"DelaySeconds": "2"})
			c.sendAll(url, "g", "1")
			c.want("at once", c.receive(url, 1, 0))
			c.pass(3 * time.Second)
			c.want("later", c.receive(url, 1, 3), "1")
		}},
		{name: "sqs.error-invalid-characters", run: refusing(func(in *sqs.SendMessageInput) { in.MessageBody = str("a\x00b") }, "InvalidMessageContents")},
		{name: "sqs.allowed-characters-come-back", run: func(c *c) {
			url := c.queue(nil)
			body := "tab\t nl\n cr\r é 漢 \U0001F600 \uFFFD <&>\"\\"
			c.send(url, "g", "d", body)
			c.want("body", c.receive(url, 1, 2), body)
		}},
		{name: "sqs.size-1MiB-accepted", run: func(c *c) {
			url := c.queue(nil)
			c.send(url, "g", "d", strings.Repeat("x", mebibyte))
			if got := c.one(url); len(*got.Body) != mebibyte {
				c.fatalf("%d bytes came back", len(*got.Body))
			}
		}},
		{name: "sqs.size-1MiB-and-1-refused", run: refusing(func(in *sqs.SendMessageInput) { in.MessageBody = str(strings.Repeat("x", mebibyte+1)) }, "InvalidParameterValue")},
		{name: "sqs.attributes-count-towards-the-size", run: refusing(func(in *sqs.SendMessageInput) {
			in.MessageBody = str(strings.Repeat("x", mebibyte-10))
			withAttributes(1, "12345678901")(in)
		}, "InvalidParameterValue")},
		{name: "sqs.error-empty-body", run: refusing(func(in *sqs.SendMessageInput) { in.MessageBody = str("") })},
		{name: "sqs.error-11-attributes", run: refusing(withAttributes(11, "v"), "InvalidParameterValue")},
		{name: "sqs.error-empty-attribute-value", run: refusing(withAttributes(1, ""), "InvalidParameterValue")},
		{name: "sqs.10-attributes-accepted", run: func(c *c) {
			url := c.queue(nil)
			in := message(url, "g", "d", "x")
			withAttributes(10, "v")(in)
			_, err := c.trySend(in)
			c.must(err)
			if m := c.one(url); len(m.MessageAttributes) != 10 {
				c.fatalf("%d attributes came back", len(m.MessageAttributes))
			}
		}},
	}
}

func batchChecks() []check {
	// ten entries of one group, numbered from 0.
	entries := func(n int) []sqstypes.SendMessageBatchRequestEntry {
		var out []sqstypes.SendMessageBatchRequestEntry
		for i := range n {
			id := fmt.Sprintf("%02d", i)
			out = append(out, entry(id, "g", id, id))
		}
		return out
	}
	// refusing sends a batch of which nothing must be accepted.
	refusing := func(n int, change func([]sqstypes.SendMessageBatchRequestEntry), codes ...string) func(*c) {
		return func(c *c) {
			url := c.queue(nil)
			list := entries(n)
			if change != nil {
				change(list)
			}
			_, err := c.sendBatch(url, list...)
			c.refused("batch", err, codes...)
			c.want("queue", c.receive(url, 10, 0))
		}
	}
	// partly sends three entries of one group, the second of them bad.
	partly := func(queue attrs, bad sqstypes.SendMessageBatchRequestEntry, code string) func(*c) {
		return func(c *c) {
			url := c.queue(queue)
			out, err := c.sendBatch(url, entry("1", "g", "1", "one"), bad, entry("3", "g", "3", "three"))
			c.must(err)
			if len(out.Successful) != 2 || len(out.Failed) != 1 || *out.Failed[0].Id != *bad.Id {
				c.fatalf("got %d successful and %d failed, want the second entry to fail alone", len(out.Successful), len(out.Failed))
			}
			if got := strings.TrimSuffix(*out.Failed[0].Code, "Exception"); got != code {
				c.errorf("code %q, want %q", got, code)
			}
			c.want("the later entry of the group is accepted", c.receive(url, 10, 1), "one", "three")
		}
	}
	return []check{
		{name: "sqs.batch-of-10-in-order", run: func(c *c) {
			url := c.queue(nil)
			out, err := c.sendBatch(url, entries(10)...)
			c.must(err)
			if len(out.Successful) != 10 || len(out.Failed) != 0 {
				c.fatalf("%d successful, %d failed", len(out.Successful), len(out.Failed))
			}
			c.want("queue", c.receive(url, 10, 1), "00", "01", "02", "03", "04", "05", "06", "07", "08", "09")
		}},
		{name: "sqs.batch-of-11-refused", run: refusing(11, nil, "TooManyEntriesInBatchRequest")},
		{name: "sqs.batch-empty-refused", run: func(c *c) {
			_, err := c.sqs.SendMessageBatch(c.ctx, &sqs.SendMessageBatchInput{
				QueueUrl: str(c.queue(nil)), Entries: []sqstypes.SendMessageBatchRequestEntry{},
			})
			c.refused("batch", err, "EmptyBatchRequest")
		}},
		{name: "sqs.batch-same-entry-ids-refused", run: refusing(2, func(l []sqstypes.SendMessageBatchRequestEntry) { l[1].Id = l[0].Id }, "BatchEntryIdsNotDistinct")},
		{name: "sqs.batch-invalid-entry-id-refused", run: refusing(2, func(l []sqstypes.SendMessageBatchRequestEntry) { l[1].Id = str("a b") }, "InvalidBatchEntryId")},
		{name: "sqs.batch-one-entry-no-group-refuses-all", run: refusing(3, func(l []sqstypes.SendMessageBatchRequestEntry) { l[1].MessageGroupId = nil }, "InvalidParameterValue", "MissingParameter")},
		{name: "sqs.batch-one-entry-no-dedup-refuses-all", run: refusing(3, func(l []sqstypes.SendMessageBatchRequestEntry) { l[1].MessageDeduplicationId = nil }, "InvalidParameterValue")},
		{name: "sqs.batch-total-over-1MiB-refused", run: refusing(2, func(l []sqstypes.SendMessageBatchRequestEntry) {
			l[0].MessageBody = str(strings.Repeat("x", mebibyte/2))
			l[1].MessageBody = str(strings.Repeat("x", mebibyte/2+1))
		}, "BatchRequestTooLong")},
		{name: "sqs.batch-total-of-1MiB-accepted", run: func(c *c) {
			out, err := c.sendBatch(c.queue(nil), entry("1", "g", "1", strings.Repeat("x", mebibyte/2)), entry("2", "g", "2", strings.Repeat("x", mebibyte/2)))
			c.must(err)
			if len(out.Successful) != 2 {
				c.fatalf("failed: %+v", out.Failed)
			}
		}},
		{name: "sqs.batch-one-entry-invalid-characters", run: partly(nil, entry("bad", "g", "bad", "a\x00b"), "InvalidMessageContents")},
		{name: "sqs.batch-one-oversize-entry-leaves-a-hole", run: partly(
			attrs{"MaximumMessageSize": "1024"}, entry("bad", "g", "bad", strings.Repeat("x", 1025)), "InvalidParameterValue")},
		{name: "sqs.batch-invalid-characters-are-the-senders-fault", run: func(c *c) {
			out, err := c.sendBatch(c.queue(nil), entry("bad", "g", "bad", "a\x00b"))
			c.must(err)
			if len(out.Failed) != 1 || !out.Failed[0].SenderFault {
				c.fatalf("%d failed, want one with SenderFault", len(out.Failed))
			}
		}},
	}
}
