package brokers_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

func orderChecks() []check {
	return []check{
		{name: "sqs.order-in-one-group", run: func(c *c) {
			url := c.queue(nil)
			c.sendAll(url, "g", "1", "2", "3", "4", "5")
			for _, want := range []string{"1", "2", "3", "4", "5"} {
				m := c.one(url)
				c.want("next", []sqstypes.Message{m}, want)
				c.delete(url, &m)
			}
		}},
		{name: "sqs.order-in-many-groups", run: func(c *c) {
			url := c.queue(nil)
			for i := range 10 {
				var entries []sqstypes.SendMessageBatchRequestEntry
				for g := range 5 {
					body := fmt.Sprintf("g%d-%02d", g, i)
					entries = append(entries, entry(body, body[:2], body, body))
				}
				_, err := c.sendBatch(url, entries...)
				c.must(err)
			}
			c.wantGroupsInOrder(c.drain(url), 5, 10)
		}},
		{name: "sqs.order-under-six-consumers", run: concurrentConsumers},
		{name: "sqs.several-of-one-group-in-one-receive", run: func(c *c) {
			url := c.queue(nil)
			c.sendAll(url, "g", "1", "2", "3")
			c.want("receive", c.receive(url, 10, 1), "1", "2", "3")
		}},
		{name: "sqs.group-blocked-while-in-flight", run: func(c *c) {
			url := c.queue(nil)
			c.sendAll(url, "g", "1", "2")
			first := c.one(url)
			c.want("blocked", c.receive(url, 10, 0))
			c.delete(url, &first)
			c.want("unblocked", c.receive(url, 10, 2), "2")
		}},
		{name: "sqs.other-groups-go-on", run: func(c *c) {
			url := c.queue(nil)
			c.sendAll(url, "a", "a1", "a2")
			c.one(url)
			c.sendAll(url, "b", "b1")
			c.want("other group", c.receive(url, 10, 2), "b1")
		}},
		{name: "sqs.redelivery-after-visibility-timeout-keeps-order", timed: true, run: func(c *c) {
			url := c.queue(nil)
			c.sendAll(url, "g", "1", "2", "3")
			c.want("first", c.receiveFor(url, 2, 2, 1), "1", "2")
			c.pass(2 * time.Second)
			c.want("again", c.receive(url, 10, 3), "1", "2", "3")
		}},
		{name: "sqs.change-visibility-0-redelivers-first", run: func(c *c) {
			url := c.queue(nil)
			c.sendAll(url, "g", "1", "2")
			first := c.one(url)
			c.hide(url, &first, 0)
			c.want("again", c.receive(url, 10, 3), "1", "2")
		}},
		{name: "sqs.nack-first-of-two", run: func(c *c) {
			url := c.queue(nil)
			c.sendAll(url, "g", "1", "2")
			got := c.receive(url, 2, 2)
			c.want("both", got, "1", "2")
			c.hide(url, &got[0], 0)
			c.want("the first, while the second is in flight", c.receive(url, 10, 3), "1")
		}},
		{name: "sqs.nack-stops-at-message-in-flight", run: func(c *c) {
			url := c.queue(nil)
			c.sendAll(url, "g", "1", "2", "3", "4")
			got := c.receive(url, 3, 2)
			c.want("three", got, "1", "2", "3")
			c.delete(url, &got[0])
			c.hide(url, &got[1], 0)
			c.want("nothing past the one in flight", c.receive(url, 10, 3), "2")
		}},
		{name: "sqs.group-head-extended-hides-the-rest", timed: true, run: func(c *c) {
			url := c.queue(nil)
			c.sendAll(url, "g", "1", "2")
			got := c.receiveFor(url, 2, 2, 1)
			c.want("both", got, "1", "2")
			c.hide(url, &got[0], 60)
			c.pass(3 * time.Second)
			c.want("hidden", c.receive(url, 10, 0))
		}},
	}
}

func (c *c) wantGroupsInOrder(got []sqstypes.Message, groups, each int) {
	by := map[string][]string{}
	for i := range got {
		g := system(&got[i], sqstypes.MessageSystemAttributeNameMessageGroupId)
		by[g] = append(by[g], *got[i].Body)
	}
	if len(by) != groups {
		c.fatalf("%d groups, want %d", len(by), groups)
	}
	for g, list := range by {
		if len(list) != each || !slices.IsSorted(list) {
			c.fatalf("group %s: %v, want %d in order", g, list, each)
		}
	}
}

// concurrentConsumers has six consumers race; what each sees of a group while
// it holds the group must come in order and once.
func concurrentConsumers(c *c) {
	url := c.queue(nil)
	const groups, each = 6, 10
	for i := range each {
		var entries []sqstypes.SendMessageBatchRequestEntry
		for g := range groups {
			body := fmt.Sprintf("g%d-%02d", g, i)
			entries = append(entries, entry(body, body[:2], body, body))
		}
		_, err := c.sendBatch(url, entries...)
		c.must(err)
	}
	var (
		mu  sync.Mutex
		got []sqstypes.Message
		wg  sync.WaitGroup
	)
	for range 6 {
		wg.Go(func() {
			for {
				out, err := c.sqs.ReceiveMessage(c.ctx, &sqs.ReceiveMessageInput{
					QueueUrl: &url, MaxNumberOfMessages: 3, WaitTimeSeconds: 1,
					MessageSystemAttributeNames: []sqstypes.MessageSystemAttributeName{sqstypes.MessageSystemAttributeNameAll},
				})
				if err != nil {
					c.errorf("receive: %v", err)
					return
				}
				if len(out.Messages) == 0 {
					return
				}
				mu.Lock()
				got = append(got, out.Messages...)
				mu.Unlock()
				for i := range out.Messages {
					if err := c.tryDelete(url, &out.Messages[i]); err != nil {
						c.errorf("delete: %v", err)
					}
				}
			}
		})
	}
	wg.Wait()
	c.wantGroupsInOrder(got, groups, each)
}

func receiptChecks() []check {
	// expired receives a message for a second and lets it go.
	expired := func(c *c) (string, sqstypes.Message) {
		url := c.queue(nil)
		c.sendAll(url, "g", "1")
		got := c.receiveFor(url, 1, 2, 1)
		c.want("first", got, "1")
		c.pass(3 * time.Second)
		return url, got[0]
	}
	return []check{
		{name: "sqs.delete-with-expired-receipt-handle-fails", timed: true, run: func(c *c) {
			url, old := expired(c)
			c.refused("delete", c.tryDelete(url, &old), "InvalidParameterValue")
			c.want("still there", c.receive(url, 1, 3), "1")
		}},
		{name: "sqs.delete-with-old-handle-after-redelivery-fails", timed: true, run: func(c *c) {
			url, old := expired(c)
			again := c.one(url)
			c.refused("delete", c.tryDelete(url, &old), "InvalidParameterValue")
			c.delete(url, &again)
		}},
		{name: "sqs.change-visibility-with-expired-handle-fails", timed: true, run: func(c *c) {
			url, old := expired(c)
			c.refused("change", c.tryHide(url, &old, 60), "InvalidParameterValue", "MessageNotInflight")
			c.want("still visible", c.receive(url, 1, 3), "1")
		}},
		{name: "sqs.delete-twice-is-no-error", run: func(c *c) {
			url := c.queue(nil)
			c.sendAll(url, "g", "1")
			m := c.one(url)
			c.delete(url, &m)
			c.delete(url, &m)
		}},
		{name: "sqs.delete-with-nonsense-handle-fails", run: func(c *c) {
			err := c.tryDelete(c.queue(nil), &sqstypes.Message{ReceiptHandle: str("nonsense")})
			c.refused("delete", err, "ReceiptHandleIsInvalid")
		}},
		{name: "sqs.delete-batch-reports-each-entry", run: func(c *c) {
			url := c.queue(nil)
			c.sendAll(url, "g", "1")
			m := c.one(url)
			out, err := c.sqs.DeleteMessageBatch(c.ctx, &sqs.DeleteMessageBatchInput{QueueUrl: &url, Entries: []sqstypes.DeleteMessageBatchRequestEntry{
				{Id: str("good"), ReceiptHandle: m.ReceiptHandle}, {Id: str("bad"), ReceiptHandle: str("nonsense")},
			}})
			c.must(err)
			if len(out.Successful) != 1 || *out.Successful[0].Id != "good" || len(out.Failed) != 1 || *out.Failed[0].Id != "bad" {
				c.fatalf("%d successful and %d failed, want one of each", len(out.Successful), len(out.Failed))
			}
		}},
		{name: "sqs.change-visibility-batch-frees-the-group", run: func(c *c) {
			url := c.queue(nil)
			c.sendAll(url, "g", "1", "2")
			got := c.receive(url, 2, 2)
			c.want("both", got, "1", "2")
			out, err := c.sqs.ChangeMessageVisibilityBatch(c.ctx, &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: &url, Entries: []sqstypes.ChangeMessageVisibilityBatchRequestEntry{
				{Id: str("1"), ReceiptHandle: got[0].ReceiptHandle}, {Id: str("2"), ReceiptHandle: got[1].ReceiptHandle},
			}})
			c.must(err)
			if len(out.Successful) != 2 {
				c.fatalf("changed %d, want 2", len(out.Successful))
			}
			c.want("again", c.receive(url, 2, 3), "1", "2")
		}},
	}
}

func receiveChecks() []check {
	return []check{
		{name: "sqs.receive-11-refused", run: func(c *c) {
			_, err := c.sqs.ReceiveMessage(c.ctx, &sqs.ReceiveMessageInput{QueueUrl: str(c.queue(nil)), MaxNumberOfMessages: 11})
			c.refused("receive 11", err, "InvalidParameterValue")
		}},
		{name: "sqs.receive-count-grows", run: func(c *c) {
			url := c.queue(nil)
			c.sendAll(url, "g", "1")
			for _, want := range []string{"1", "2", "3"} {
				m := c.one(url)
				if got := system(&m, sqstypes.MessageSystemAttributeNameApproximateReceiveCount); got != want {
					c.fatalf("count %s, want %s", got, want)
				}
				c.hide(url, &m, 0)
			}
		}},
		{name: "sqs.system-attributes-are-complete", run: func(c *c) {
			url := c.queue(nil)
			sent := c.send(url, "group", "dedup", "x")
			m := c.one(url)
			for name, want := range map[sqstypes.MessageSystemAttributeName]string{
				sqstypes.MessageSystemAttributeNameMessageGroupId:         "group",
				sqstypes.MessageSystemAttributeNameMessageDeduplicationId: "dedup",
				sqstypes.MessageSystemAttributeNameSequenceNumber:         *sent.SequenceNumber,
			} {
				if got := system(&m, name); got != want {
					c.errorf("%s is %q, want %q", name, got, want)
				}
			}
			if *m.MessageId != *sent.MessageId {
				c.errorf("MessageId %s, want %s", *m.MessageId, *sent.MessageId)
			}
			if len(system(&m, sqstypes.MessageSystemAttributeNameSentTimestamp)) != 13 {
				c.errorf("SentTimestamp is not in milliseconds: %v", m.Attributes)
			}
		}},
		{name: "sqs.attributes-come-back", run: func(c *c) {
			url := c.queue(nil)
			in := message(url, "g", "d", "x")
			in.MessageAttributes = map[string]sqstypes.MessageAttributeValue{
				"text": sqsText("ü \" < &"), "number": {DataType: str("Number"), StringValue: str("42")},
				"bytes": {DataType: str("Binary.raw"), BinaryValue: []byte{0, 1, 255}},
			}
			sent, err := c.trySend(in)
			c.must(err)
			m := c.one(url)
			if len(m.MessageAttributes) != 3 || *m.MessageAttributes["text"].StringValue != "ü \" < &" ||
				*m.MessageAttributes["number"].DataType != "Number" || !slices.Equal(m.MessageAttributes["bytes"].BinaryValue, []byte{0, 1, 255}) {
				c.fatalf("attributes: %v", m.MessageAttributes)
			}
			// The published algorithm over these three, worked out apart from any server.
			const sum = "b9ef79f5139edf9b6233b5fbd3858b8d"
			if *sent.MD5OfMessageAttributes != sum || *m.MD5OfMessageAttributes != sum {
				c.fatalf("checksums %s and %s, want %s", *sent.MD5OfMessageAttributes, *m.MD5OfMessageAttributes, sum)
			}
		}},
		{name: "sqs.long-poll-wakes-on-send", run: func(c *c) {
			url := c.queue(nil)
			c.wakes(url, func() error {
				_, err := c.trySend(message(url, "g", "1", "1"))
				return err
			}, "1")
		}},
		{name: "sqs.long-poll-wakes-when-group-unblocks", run: func(c *c) {
			url := c.queue(nil)
			c.sendAll(url, "g", "1", "2")
			first := c.one(url)
			c.wakes(url, func() error { return c.tryDelete(url, &first) }, "2")
		}},
		{name: "sqs.long-poll-of-an-empty-queue-ends", run: func(c *c) {
			c.want("empty", c.receive(c.queue(nil), 1, 1))
		}},
		{name: "sqs.ReceiveRequestAttemptId-replays", run: func(c *c) {
			url := c.queue(nil)
			c.sendAll(url, "g", "1", "2")
			attempt := func(id string) []sqstypes.Message {
				out, err := c.sqs.ReceiveMessage(c.ctx, &sqs.ReceiveMessageInput{
					QueueUrl: &url, MaxNumberOfMessages: 1, WaitTimeSeconds: 1, ReceiveRequestAttemptId: &id,
				})
				c.must(err)
				return out.Messages
			}
			first, again := attempt("a1"), attempt("a1")
			c.want("first", first, "1")
			c.want("the same again", again, "1")
			if *first[0].ReceiptHandle != *again[0].ReceiptHandle {
				c.fatalf("the receipt handle changed")
			}
			c.want("another attempt", attempt("a2"))
		}},
	}
}

// wakes checks that a receive that waits is answered because of act, well
// before its 20 seconds are over.
func (c *c) wakes(url string, act func() error, want string) {
	polling := make(chan struct{})
	result := make(chan []sqstypes.Message, 1)
	go func() {
		close(polling)
		out, err := c.sqs.ReceiveMessage(c.ctx, &sqs.ReceiveMessageInput{QueueUrl: &url, WaitTimeSeconds: 20})
		if err != nil {
			c.errorf("receive: %v", err)
			result <- nil
			return
		}
		result <- out.Messages
	}()
	<-polling
	// Usually long enough for the poll to be waiting; the check holds either way.
	settle := time.NewTimer(300 * time.Millisecond)
	defer settle.Stop()
	<-settle.C
	c.must(act())
	limit := time.NewTimer(10 * time.Second)
	defer limit.Stop()
	select {
	case got := <-result:
		c.want("woken", got, want)
	case <-limit.C:
		c.fatalf("not woken after 10 of 20 seconds")
	}
}

func digits(s string) bool { return strings.Trim(s, "0123456789") == "" }
