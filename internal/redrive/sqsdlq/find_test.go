package sqsdlq_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	snstypes "github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/serverless-outbox/serverless-outbox/internal/redrive"
	"github.com/serverless-outbox/serverless-outbox/internal/redrive/sqsdlq"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

func TestQueuesAreFoundByURLNameAndARN(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, ref := range []string{
		w.dlq, "orders-dlq.fifo", arnOf("orders-dlq.fifo"),
		"https://sqs.us-east-1.amazonaws.com/000000000000/orders-dlq.fifo", "https://queue.amazonaws.com/000000000000/orders-dlq.fifo",
		"https://vpce-0a-1.sqs.us-east-1.vpce.amazonaws.com/000000000000/orders-dlq.fifo",
	} {
		route, err := w.finder.Find(t.Context(), ref, "")
		if err != nil || route.TargetName != "orders.fifo" || route.QueueName != "orders-dlq.fifo" || route.FailedARN != arnOf("orders.fifo") {
			t.Errorf("%s: %+v, error %v", ref, route, err)
		}
	}
	for _, ref := range []string{w.live, "orders.fifo", arnOf("orders.fifo")} {
		route, err := w.finder.Find(t.Context(), "orders-dlq.fifo", ref)
		if err != nil || route.TargetName != "orders.fifo" || route.FailedARN != "" {
			t.Errorf("%s: %+v, error %v", ref, route, err)
		}
	}
}

func TestFindSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.queue(t, "unused-dlq.fifo", "")
	w.queue(t, "shared-dlq.fifo", "")
	w.queue(t, "a.fifo", "shared-dlq.fifo")
	w.queue(t, "b.fifo", "shared-dlq.fifo")
	if _, err := w.sqs.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("standard")}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ queue, sendTo, want string }{
		{"unused-dlq.fifo", "", "no queue and no subscription"},
		{"shared-dlq.fifo", "", "a.fifo"},
		{"shared-dlq.fifo", "", "b.fifo"},
		{"absent.fifo", "", "absent.fifo"},
		{"standard", "", "not FIFO"},
		{"orders-dlq.fifo", "standard", "not FIFO"},
		{"orders-dlq.fifo", "orders-dlq.fifo", "is the dead-letter queue itself"},
		{"arn:aws:sns:us-east-1:000000000000:orders.fifo", "", "not the ARN of a queue"},
		{"arn:aws:sqs:eu-west-1:000000000000:orders-dlq.fifo", "", "account and Region"},
		{"arn:aws:sqs:us-east-1:111122223333:orders-dlq.fifo", "", "account and Region"},
		{"https://sqs.eu-west-1.amazonaws.com/000000000000/orders-dlq.fifo", "", "account and Region"},
		{"https://sqs.us-east-1.amazonaws.com/111122223333/orders-dlq.fifo", "", "account and Region"},
		{"https://eu-west-1.queue.amazonaws.com/000000000000/orders-dlq.fifo", "", "account and Region"},
		{"https://vpce-0a-1.sqs.eu-west-1.vpce.amazonaws.com/000000000000/orders-dlq.fifo", "", "account and Region"},
		{"http://localhost:4566/111122223333/orders-dlq.fifo", "", "account and Region"},
		{"orders-dlq.fifo", "arn:aws:sqs:us-east-1:111122223333:orders.fifo", "account and Region"},
		{"orders-dlq.fifo", "https://sqs.us-east-1.amazonaws.com/111122223333/orders.fifo", "account and Region"},
		{"orders-dlq.fifo", "https://sqs.eu-west-1.amazonaws.com/000000000000/orders.fifo", "account and Region"},
		{"orders-dlq.fifo", "https://key:hush@sqs.us-east-1.amazonaws.com/000000000000/orders.fifo", "password"},
	} {
		_, err := w.finder.Find(t.Context(), c.queue, c.sendTo)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s to %q: error %v, want one with %q", c.queue, c.sendTo, err, c.want)
		}
	}
	if _, err := w.finder.Find(t.Context(), "shared-dlq.fifo", ""); !errors.Is(err, sqsdlq.ErrNoTarget) {
		t.Errorf("error %v", err)
	}
	if _, err := w.finder.Find(t.Context(), "shared-dlq.fifo", "b.fifo"); err != nil {
		t.Error(err)
	}
}

func TestARequestWithoutAQueueIsRefused(t *testing.T) {
	t.Parallel()
	engine, err := sqsdlq.NewEngine(*newWorld(t).finder, quick())
	if err != nil {
		t.Fatal(err)
	}
	_, err = engine.Run(t.Context(), redrive.Request{Source: redrive.SourceDLQ}, time.Now().Add(time.Minute))
	if field, ok := errors.AsType[*redrive.FieldError](err); !ok || field.Field != "queue" {
		t.Errorf("error %v", err)
	}
}

// A message that failed at another queue than the one found is left, unless the
// destination was named.
func TestAMessageOfAnotherQueueIsLeft(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other := w.queue(t, "other.fifo", "orders-dlq.fifo")
	w.send(t, other, event(t, "1", 1))
	w.fail(t, other)
	if _, err := w.sqs.DeleteQueue(t.Context(), &sqs.DeleteQueueInput{QueueUrl: &other}); err != nil {
		t.Fatal(err)
	}
	answer := w.run(t, quick(), redrive.Request{})
	if answer.Redriven != 0 || answer.Failed != 1 || !strings.Contains(failures(&answer), "FailedAtAnotherQueue") {
		t.Errorf("answer %+v", answer)
	}
	if answer = w.run(t, quick(), redrive.Request{SendTo: "orders.fifo"}); answer.Redriven != 1 {
		t.Errorf("answer %+v", answer)
	}
}

// subscribe makes a topic with a subscription of the queue, raw or not, whose
// dead letters go to the dead-letter queue, and one of another queue.
func (w *world) subscribe(t *testing.T, queue, dlq string, raw bool) string {
	t.Helper()
	topic, err := w.sns.CreateTopic(t.Context(), &sns.CreateTopicInput{
		Name: aws.String("orders.fifo"), Attributes: map[string]string{"FifoTopic": "true", "FifoThroughputScope": "MessageGroup"},
	})
	if err != nil {
		t.Fatal(err)
	}
	w.queue(t, "bystander.fifo", "")
	for _, s := range []struct {
		queue      string
		attributes map[string]string
	}{
		{"bystander.fifo", map[string]string{"RawMessageDelivery": "true"}},
		{queue, map[string]string{"RawMessageDelivery": fmt.Sprint(raw), "RedrivePolicy": fmt.Sprintf(`{"deadLetterTargetArn":%q}`, arnOf(dlq))}},
	} {
		if _, err = w.sns.Subscribe(t.Context(), &sns.SubscribeInput{
			TopicArn: topic.TopicArn, Protocol: aws.String("sqs"), Endpoint: aws.String(arnOf(s.queue)), Attributes: s.attributes,
		}); err != nil {
			t.Fatal(err)
		}
	}
	return *topic.TopicArn
}

func (w *world) publish(t *testing.T, topic string, msgs ...outbox.Message) {
	t.Helper()
	for _, m := range msgs {
		attributes := map[string]snstypes.MessageAttributeValue{}
		for _, a := range m.Attributes {
			attributes[a.Name] = snstypes.MessageAttributeValue{DataType: aws.String("String"), StringValue: &a.Value}
		}
		if _, err := w.sns.Publish(t.Context(), &sns.PublishInput{
			TopicArn: &topic, Message: &m.Body, MessageGroupId: &m.GroupID, MessageDeduplicationId: &m.DeduplicationID, MessageAttributes: attributes,
		}); err != nil {
			t.Fatal(err)
		}
	}
}

// The queue of a subscription was gone when events came. They go to that queue,
// in the form that the subscription delivers, and to no other subscriber.
func TestDeadLettersOfASubscription(t *testing.T) {
	t.Parallel()
	for _, raw := range []bool{true, false} {
		t.Run(fmt.Sprintf("raw %v", raw), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			dlq := w.queue(t, "sub-dlq.fifo", "")
			topic := w.subscribe(t, "late.fifo", "sub-dlq.fifo", raw)
			w.publish(t, topic, event(t, "1", 1), event(t, "1", 2), event(t, "2", 1))
			late := w.queue(t, "late.fifo", "") // it comes up when the events are dead
			if d := w.depth(t, dlq); d.Visible != 3 {
				t.Fatalf("the dead-letter queue holds %+v", d)
			}
			// A consumer that gets one event the normal way, to compare.
			w.publish(t, topic, event(t, "3", 1))
			normal := w.drain(t, late)
			w.drain(t, mustURL(t, w, "bystander.fifo"))

			route, err := w.finder.Find(t.Context(), "sub-dlq.fifo", "")
			if err != nil || len(route.Subscriptions) != 1 || route.Subscriptions[0].Raw != raw {
				t.Fatalf("route %+v, error %v", route, err)
			}
			answer := w.runRoute(t, quick(), redrive.Request{}, route)
			if answer.Redriven != 3 || answer.Failed != 0 {
				t.Fatalf("answer %+v\n%s", answer, failures(&answer))
			}
			got := w.drain(t, late)
			if len(got) != 3 || len(normal) != 1 {
				t.Fatalf("%d messages, %d normal ones", len(got), len(normal))
			}
			if _, enveloped := open(*normal[0].Body); enveloped == raw {
				t.Fatalf("a normal delivery is %s", *normal[0].Body)
			}
			for i, want := range []string{"1", "2", "1"} {
				text, enveloped := open(*got[i].Body)
				if text != want || enveloped == raw {
					t.Errorf("message %d: %s", i, *got[i].Body)
				}
			}
			if others := w.drain(t, mustURL(t, w, "bystander.fifo")); len(others) != 0 {
				t.Errorf("the other subscriber got %d messages", len(others))
			}
		})
	}
}

func mustURL(t *testing.T, w *world, name string) string {
	t.Helper()
	out, err := w.sqs.GetQueueUrl(t.Context(), &sqs.GetQueueUrlInput{QueueName: &name})
	if err != nil {
		t.Fatal(err)
	}
	return *out.QueueUrl
}

// open returns the text of a body, and whether it was in an envelope.
func open(body string) (string, bool) {
	var e struct{ Type, Message string }
	if json.Unmarshal([]byte(body), &e) == nil && e.Type == "Notification" {
		return e.Message, true
	}
	return body, false
}

// The form of a dead letter of a subscription is not documented. Both are
// understood, and what would not arrive as the subscription delivers is left.
func TestTheFormOfASubscriptionsDeadLetters(t *testing.T) {
	t.Parallel()
	envelope := `{"Type":"Notification","MessageId":"m","TopicArn":"arn:aws:sns:us-east-1:000000000000:orders.fifo","Message":"{\"a\":1}",` +
		`"MessageAttributes":{"event_id":{"Type":"String","Value":"018f3d5e-7a4b-7c2d-8e9f-0a1b2c3d4e5f"},"b":{"Type":"Binary","Value":"AAH/"}}}`
	for name, c := range map[string]struct {
		raw        bool
		body, want string
		attributes int
		reason     string
	}{
		"raw, as published":       {raw: true, body: `{"a":1}`, want: `{"a":1}`, attributes: 1},
		"raw, in an envelope":     {raw: true, body: envelope, want: `{"a":1}`, attributes: 3},
		"enveloped, in one":       {body: envelope, want: envelope, attributes: 1},
		"enveloped, without":      {body: `{"a":1}`, reason: "NoEnvelope"},
		"enveloped, from another": {body: strings.Replace(envelope, "orders.fifo", "other.fifo", 1), reason: "UnknownTopic"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			dlq := w.queue(t, "sub-dlq.fifo", "")
			late := w.queue(t, "late.fifo", "")
			w.subscribe(t, "late.fifo", "sub-dlq.fifo", c.raw)
			w.send(t, dlq, outbox.Message{GroupID: "g", DeduplicationID: "d", Body: c.body})
			route, err := w.finder.Find(t.Context(), "sub-dlq.fifo", "")
			if err != nil {
				t.Fatal(err)
			}
			answer := w.runRoute(t, quick(), redrive.Request{}, route)
			got := w.drain(t, late)
			if c.reason != "" {
				if len(got) != 0 || len(answer.Failures) != 1 || answer.Failures[0].Reason != c.reason || w.depth(t, dlq).Visible != 1 {
					t.Errorf("answer %+v", answer)
				}
				return
			}
			if len(got) != 1 || *got[0].Body != c.want || len(got[0].MessageAttributes) != c.attributes {
				t.Errorf("got %+v, answer %+v", got, answer)
			}
		})
	}
}

func TestADeadLetterQueueWithOneOfItsOwnIsNoted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.queue(t, "last.fifo", "")
	w.queue(t, "second-dlq.fifo", "last.fifo")
	route, err := w.finder.Find(t.Context(), "second-dlq.fifo", "orders.fifo")
	if err != nil || len(route.Notes) != 1 {
		t.Errorf("route %+v, error %v", route, err)
	}
}
