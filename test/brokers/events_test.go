package brokers_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

// messageSize is the least that a queue may be set to.
const messageSize = "1024"

// In one batch a queue accepts what comes after an entry that it refuses, also of the same group. So a request
// has one event of a lane: where the lane is blocked, later events wait; where the event is skipped, only that
// event is missing.
func TestOversizeEntryInTheMiddleOfABatchLeavesNoHole(t *testing.T) {
	t.Parallel()
	onEach(t, func(w *world) {
		queues := map[string]string{}
		for name, onReject := range map[string]relay.OnReject{"skip": relay.Skip, "block": relay.Block} {
			queues[name] = w.queue(map[string]string{"MaximumMessageSize": messageSize})
			w.destination(name, queues[name], onReject)
		}
		large := fmt.Sprintf(`{"x":%q}`, strings.Repeat("x", 1024))
		for destination := range queues {
			for a := range 10 {
				if a == 4 {
					w.write(destination, "a4", body(0), large, body(2), body(3))
					continue
				}
				w.write(destination, fmt.Sprint("a", a), body(0), body(1), body(2), body(3))
			}
		}
		w.carry()
		for destination, url := range queues {
			want := map[string][]string{}
			for a := range 10 {
				want[fmt.Sprint("a", a)] = []string{body(0), body(1), body(2), body(3)}
			}
			want["a4"] = []string{body(0), body(2), body(3)}
			if destination == "block" {
				want["a4"] = []string{body(0)}
			}
			w.want(w.drain(url), want)
		}
		if dead, waiting := w.number("select count(*) from outbox.dead_letters where aggregate_id = 'a4' and code <> ''"), w.number("select count(*) from outbox.events where sent_at is null"); dead != 2 || waiting != 2 {
			w.t.Errorf("%d dead and %d waiting, want 2 and 2", dead, waiting)
		}
	})
}

// The hole is the queue's own, so that the test above means something.
func TestABatchWithTwoEventsOfAGroupWouldHaveAHole(t *testing.T) {
	t.Parallel()
	onEach(t, func(w *world) {
		url := w.queue(map[string]string{"MaximumMessageSize": messageSize})
		entry := func(id, text string) types.SendMessageBatchRequestEntry {
			return types.SendMessageBatchRequestEntry{Id: aws.String(id), MessageGroupId: aws.String("g"), MessageDeduplicationId: aws.String(id), MessageBody: aws.String(text)}
		}
		out, err := w.consumer.SendMessageBatch(w.t.Context(), &sqs.SendMessageBatchInput{QueueUrl: &url, Entries: []types.SendMessageBatchRequestEntry{
			entry("1", "1"), entry("2", strings.Repeat("x", 1025)), entry("3", "3"),
		}})
		if err != nil || len(out.Successful) != 2 || len(out.Failed) != 1 || aws.ToString(out.Failed[0].Id) != "2" {
			w.t.Errorf("%+v, %v: want 1 and 3 accepted", out, err)
		}
	})
}

// A consumer that fails on a message loses it to the dead-letter queue after
// its last try, with all that a redrive needs, and its group goes on.
func TestAMessageThatFailsTooOftenIsADeadLetterOfTheQueue(t *testing.T) {
	t.Parallel()
	onEach(t, func(w *world) {
		const most = 3
		dlq := w.queue(nil)
		arn, err := w.consumer.GetQueueAttributes(w.t.Context(), &sqs.GetQueueAttributesInput{QueueUrl: &dlq, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameQueueArn}})
		if err != nil {
			w.t.Fatal(err)
		}
		url := w.queue(map[string]string{"RedrivePolicy": fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":"%d"}`, arn.Attributes["QueueArn"], most)})
		w.destination("orders", url, relay.Skip)
		w.write("orders", "a", body(0), body(1), body(2))
		w.carry()
		event := ""
		for range most {
			got := w.receive(url, 1)
			if len(got) != 1 || aws.ToString(got[0].Body) != body(0) {
				w.t.Fatalf("received %d messages, want the first event", len(got))
			}
			event = attribute(&got[0], outbox.AttributeEventID)
			w.hide(url, &got[0], 0)
		}
		w.write("orders", "a", body(3))
		w.carry()
		w.want(w.drain(url), map[string][]string{"a": {body(1), body(2), body(3)}})
		dead := w.receive(dlq, 10)
		if len(dead) != 1 || aws.ToString(dead[0].Body) != body(0) || attribute(&dead[0], outbox.AttributeEventID) != event ||
			dead[0].Attributes["MessageGroupId"] != outbox.GroupID("order", "a") {
			w.t.Errorf("the dead-letter queue has %+v", dead)
		}
	})
}

// While a message is hidden, its group waits, other groups do not, and the relay goes on sending. When the
// message is visible again, all of the group comes in order.
func TestAHiddenMessageHoldsItsGroupOnly(t *testing.T) {
	t.Parallel()
	onEach(t, func(w *world) {
		url := w.queue(nil)
		w.destination("orders", url, relay.Skip)
		w.write("orders", "a", body(0))
		w.carry()
		held := w.receive(url, 10)
		if len(held) != 1 {
			w.t.Fatalf("received %d messages, want 1", len(held))
		}
		w.write("orders", "a", body(1), body(2))
		w.write("orders", "b", body(0), body(1))
		w.carry()
		if waiting := w.number("select count(*) from outbox.events where sent_at is null"); waiting != 0 {
			w.t.Errorf("%d events wait for a consumer", waiting)
		}
		w.want(w.drain(url), map[string][]string{"b": {body(0), body(1)}})
		w.hide(url, &held[0], 1)
		got := map[string][]string{}
		for end := time.Now().Add(patience); len(got["a"]) < 3 && time.Now().Before(end); {
			for a, bodies := range w.drain(url) {
				got[a] = append(got[a], bodies...)
			}
		}
		w.want(got, map[string][]string{"a": {body(0), body(1), body(2)}})
	})
}
