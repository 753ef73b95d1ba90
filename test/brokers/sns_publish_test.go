package brokers_test

import (
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/sns"
	snstypes "github.com/aws/aws-sdk-go-v2/service/sns/types"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

const snsLimit = 256 << 10

func publishChecks() []check {
	refusing := func(change func(*sns.PublishInput), codes ...string) func(*c) {
		return func(c *c) {
			topic, url := c.subscribed(nil, nil)
			in := publication(topic, "g", "d", "x")
			change(in)
			_, err := c.sns.Publish(c.ctx, in)
			c.refused("publish", err, codes...)
			c.want("queue", c.receive(url, 1, 0))
		}
	}
	return []check{
		{name: "sns.error-no-group-id", run: refusing(func(in *sns.PublishInput) { in.MessageGroupId = nil }, "InvalidParameter")},
		{name: "sns.error-no-dedup-id", run: refusing(func(in *sns.PublishInput) { in.MessageDeduplicationId = nil }, "InvalidParameter")},
		{name: "sns.error-empty-message", run: refusing(func(in *sns.PublishInput) { in.Message = str("") }, "InvalidParameter")},
		{name: "sns.error-empty-attribute-value", run: refusing(func(in *sns.PublishInput) {
			in.MessageAttributes = map[string]snstypes.MessageAttributeValue{"a": snsText("")}
		})},
		{name: "sns.size-256KiB-accepted", run: func(c *c) {
			topic, url := c.subscribed(nil, nil)
			c.publish(topic, "g", "d", strings.Repeat("x", snsLimit))
			if m := c.one(url); len(*m.Body) != snsLimit {
				c.fatalf("%d bytes came", len(*m.Body))
			}
		}},
		{name: "sns.size-256KiB-and-1-refused", run: refusing(func(in *sns.PublishInput) { in.Message = str(strings.Repeat("x", snsLimit+1)) }, "InvalidParameter")},
		{name: "sns.MaximumMessageSize-raises-the-limit", run: func(c *c) {
			topic, url := c.subscribed(attrs{"MaximumMessageSize": "1048576"}, nil)
			c.publish(topic, "g", "d", strings.Repeat("x", snsLimit+1))
			c.one(url)
		}},
		{name: "sns.missing-topic-has-a-typed-error", run: func(c *c) {
			topic := c.topic(nil)
			_, err := c.sns.DeleteTopic(c.ctx, &sns.DeleteTopicInput{TopicArn: &topic})
			c.must(err)
			_, err = c.publishBatch(topic, snsEntry("1", "g", "1", "x"))
			var gone *snstypes.NotFoundException
			if !errors.As(err, &gone) {
				c.fatalf("%v is no NotFoundException", err)
			}
		}},
		{name: "sns.sequence-number-grows", run: func(c *c) {
			topic := c.topic(nil)
			last := ""
			for _, id := range []string{"1", "2", "3"} {
				out := c.publish(topic, "g", id, id)
				if out.SequenceNumber == nil || len(*out.SequenceNumber) != 20 || !digits(*out.SequenceNumber) || *out.SequenceNumber <= last {
					c.fatalf("%v after %q: want 20 digits, growing", out.SequenceNumber, last)
				}
				last = *out.SequenceNumber
			}
		}},
	}
}

func publishBatchChecks() []check {
	entries := func(n int) []snstypes.PublishBatchRequestEntry {
		var out []snstypes.PublishBatchRequestEntry
		for i := range n {
			id := fmt.Sprintf("%02d", i)
			out = append(out, snsEntry(id, "g", id, id))
		}
		return out
	}
	refusing := func(n int, change func([]snstypes.PublishBatchRequestEntry), codes ...string) func(*c) {
		return func(c *c) {
			topic, url := c.subscribed(nil, nil)
			list := entries(n)
			if change != nil {
				change(list)
			}
			_, err := c.publishBatch(topic, list...)
			c.refused("batch", err, codes...)
			c.want("queue", c.receive(url, 10, 0))
		}
	}
	// notAccepted sends a batch of three whose second entry cannot be
	// accepted; whether the others are is not documented.
	notAccepted := func(change func(*snstypes.PublishBatchRequestEntry)) func(*c) {
		return func(c *c) {
			topic, url := c.subscribed(nil, nil)
			list := entries(3)
			change(&list[1])
			out, err := c.publishBatch(topic, list...)
			if err != nil {
				c.refused("batch", err)
				return
			}
			if len(out.Failed) != 1 || *out.Failed[0].Id != "01" {
				c.fatalf("failed: %+v, want the second entry", out.Failed)
			}
			c.want("the others", c.receive(url, 10, 1), "00", "02")
		}
	}
	return []check{
		{name: "sns.batch-of-10-in-order", run: func(c *c) {
			topic, url := c.subscribed(nil, nil)
			out, err := c.publishBatch(topic, entries(10)...)
			c.must(err)
			if len(out.Successful) != 10 || len(out.Failed) != 0 {
				c.fatalf("%d successful, %d failed", len(out.Successful), len(out.Failed))
			}
			last := ""
			for _, s := range out.Successful {
				if s.SequenceNumber == nil || *s.SequenceNumber <= last {
					c.fatalf("sequence number %v after %q", s.SequenceNumber, last)
				}
				last = *s.SequenceNumber
			}
			c.want("queue", c.receive(url, 10, 2), "00", "01", "02", "03", "04", "05", "06", "07", "08", "09")
		}},
		{name: "sns.batch-of-11-refused", run: refusing(11, nil, "TooManyEntriesInBatchRequest", "TooManyEntriesInBatchRequestException")},
		{name: "sns.batch-empty-refused", run: func(c *c) {
			_, err := c.sns.PublishBatch(c.ctx, &sns.PublishBatchInput{
				TopicArn: str(c.topic(nil)), PublishBatchRequestEntries: []snstypes.PublishBatchRequestEntry{},
			})
			c.refused("batch", err, "EmptyBatchRequest")
		}},
		{name: "sns.batch-same-entry-ids-refused", run: refusing(2, func(l []snstypes.PublishBatchRequestEntry) { l[1].Id = l[0].Id }, "BatchEntryIdsNotDistinct")},
		{name: "sns.batch-invalid-entry-id-refused", run: refusing(2, func(l []snstypes.PublishBatchRequestEntry) { l[1].Id = str("a b") }, "InvalidBatchEntryId")},
		{name: "sns.batch-total-over-256KiB-refused", run: refusing(2, func(l []snstypes.PublishBatchRequestEntry) {
			l[0].Message = str(strings.Repeat("x", snsLimit/2))
			l[1].Message = str(strings.Repeat("x", snsLimit/2+1))
		}, "BatchRequestTooLong")},
		{name: "sns.batch-no-group-refused", run: refusing(1, func(l []snstypes.PublishBatchRequestEntry) { l[0].MessageGroupId = nil }, "InvalidParameter")},
		{name: "sns.batch-no-dedup-refused", run: refusing(1, func(l []snstypes.PublishBatchRequestEntry) { l[0].MessageDeduplicationId = nil }, "InvalidParameter")},
		{name: "sns.batch-one-entry-no-group-not-accepted", run: notAccepted(func(e *snstypes.PublishBatchRequestEntry) { e.MessageGroupId = nil })},
		{name: "sns.batch-one-entry-no-dedup-not-accepted", run: notAccepted(func(e *snstypes.PublishBatchRequestEntry) { e.MessageDeduplicationId = nil })},
		{name: "sns.batch-one-empty-message-not-accepted", run: notAccepted(func(e *snstypes.PublishBatchRequestEntry) { e.Message = str("") })},
	}
}

func topicDedupChecks() []check {
	// The queue keys by group, so that what is dropped is dropped by the topic.
	perGroup := attrs{"DeduplicationScope": "messageGroup", "FifoThroughputLimit": "perMessageGroupId"}
	return []check{
		{name: "sns.dedup-drops-the-second", run: func(c *c) {
			topic, url := c.subscribed(nil, nil)
			c.publish(topic, "g", "d", "1")
			c.publish(topic, "g", "d", "2")
			c.want("queue", c.drain(url), "1")
		}},
		{name: "sns.dedup-at-the-topic-itself", run: func(c *c) {
			topic := c.topic(nil)
			first := c.publish(topic, "g", "d", "1")
			late := c.queue(nil)
			c.subscribe(topic, late, nil)
			second := c.publish(topic, "g", "d", "2")
			c.want("a queue that never saw the id", c.drain(late))
			if *first.MessageId != *second.MessageId {
				c.errorf("MessageId %s, then %s", *first.MessageId, *second.MessageId)
			}
		}},
		{name: "sns.dedup-scope-Topic-ignores-the-group", run: func(c *c) {
			topic, url := c.subscribed(nil, perGroup)
			c.publish(topic, "a", "d", "1")
			c.publish(topic, "b", "d", "2")
			c.want("queue", c.drain(url), "1")
		}},
		{name: "sns.dedup-scope-MessageGroup", run: func(c *c) {
			topic, url := c.subscribed(attrs{"FifoThroughputScope": "MessageGroup"}, perGroup)
			c.publish(topic, "a", "d", "1")
			c.publish(topic, "b", "d", "2")
			c.publish(topic, "a", "d", "3")
			if got := c.drain(url); len(got) != 2 {
				c.fatalf("got %q, want the first two", bodies(got))
			}
		}},
		{name: "sns.FifoThroughputScope-is-kept", run: func(c *c) {
			topic := c.topic(attrs{"FifoThroughputScope": "MessageGroup"})
			out, err := c.sns.GetTopicAttributes(c.ctx, &sns.GetTopicAttributesInput{TopicArn: &topic})
			c.must(err)
			if got := out.Attributes["FifoThroughputScope"]; got != "MessageGroup" {
				c.fatalf("FifoThroughputScope %q", got)
			}
		}},
		{name: "sns.content-based-dedup", run: func(c *c) {
			topic, url := c.subscribed(attrs{"ContentBasedDeduplication": "true"}, nil)
			for _, body := range []string{"x", "x", "y"} {
				_, err := c.sns.Publish(c.ctx, &sns.PublishInput{TopicArn: &topic, MessageGroupId: str("g"), Message: &body})
				c.must(err)
			}
			got := c.drain(url)
			c.want("queue", got, "x", "y")
			const sumOfX = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
			if id := system(&got[0], sqstypes.MessageSystemAttributeNameMessageDeduplicationId); id != sumOfX {
				c.fatalf("deduplication id %s, want the SHA-256 of the message", id)
			}
		}},
	}
}
