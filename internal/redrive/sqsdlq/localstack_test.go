package sqsdlq_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/google/uuid"

	"github.com/serverless-outbox/serverless-outbox/internal/redrive"
	"github.com/serverless-outbox/serverless-outbox/internal/redrive/dlq"
)

// An event goes through a topic to two queues. The consumer of one fails on it
// until it is in the dead-letter queue. The redrive brings it back to that
// queue, and not to the other. LocalStack keeps the deduplication id of the
// copy, so a move task would lose it.
func TestLocalStack(t *testing.T) {
	t.Parallel()
	url := os.Getenv("OUTBOX_TEST_LOCALSTACK_URL")
	if url == "" {
		t.Skip("NOT RUN: OUTBOX_TEST_LOCALSTACK_URL is not set; `make test` starts LocalStack and sets it")
	}
	w := dial(url)
	w.wait = 2 // topics deliver in the background
	prefix := "redrive-" + uuid.NewString()[:8]
	name := func(s string) string { return prefix + s + ".fifo" }
	dead := w.queue(t, name("-dlq"), "")
	failing := w.queue(t, name("-failing"), name("-dlq"))
	other := w.queue(t, name("-other"), "")
	topic, err := w.sns.CreateTopic(t.Context(), &sns.CreateTopicInput{Name: aws.String(name("")), Attributes: map[string]string{"FifoTopic": "true"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, _ = w.sns.DeleteTopic(t.Context(), &sns.DeleteTopicInput{TopicArn: topic.TopicArn})
	})
	for _, queue := range []string{name("-failing"), name("-other")} {
		if _, err = w.sns.Subscribe(t.Context(), &sns.SubscribeInput{
			TopicArn: topic.TopicArn, Protocol: aws.String("sqs"), Endpoint: aws.String(arnOf(queue)),
			Attributes: map[string]string{"RawMessageDelivery": "true"},
		}); err != nil {
			t.Fatal(err)
		}
	}
	const each = 3
	for n := 1; n <= each; n++ {
		w.publish(t, *topic.TopicArn, event(t, "1", n), event(t, "2", n))
	}
	if got := w.drain(t, other); len(got) != 2*each {
		t.Fatalf("the other queue got %d messages", len(got))
	}

	for round := 1; round <= 2; round++ { // twice inside five minutes
		w.fail(t, failing)
		if d := w.depth(t, dead); d.Visible != 2*each {
			t.Fatalf("round %d: the dead-letter queue holds %+v", round, d)
		}
		route, failed := w.finder.Find(t.Context(), dead, "")
		if failed != nil || route.TargetName != name("-failing") {
			t.Fatalf("route %+v, error %v", route, failed)
		}
		answer := w.runRoute(t, quick(), redrive.Request{DryRun: true, AggregateType: "order", AggregateID: "1"}, route)
		if answer.Matched == 0 || answer.Redriven != 0 {
			t.Errorf("dry run %+v", answer)
		}
		if answer = w.runRoute(t, quick(), redrive.Request{}, route); answer.Redriven != 2*each || answer.Failed != 0 {
			t.Fatalf("round %d: answer %+v\n%s", round, answer, failures(&answer))
		}
		if d := w.depth(t, dead); d != (dlq.Depth{}) {
			t.Errorf("the dead-letter queue holds %+v", d)
		}
	}
	next := map[string]int{}
	for _, m := range w.drain(t, failing) {
		g := m.Attributes["MessageGroupId"]
		if next[g]++; *m.Body != fmt.Sprint(next[g]) || aws.ToString(m.MessageAttributes["redrives"].StringValue) != "2" {
			t.Errorf("group %s: body %s where %d belongs, attributes %v", g, *m.Body, next[g], m.MessageAttributes)
		}
		if id := m.Attributes["MessageDeduplicationId"]; !strings.HasPrefix(id, aws.ToString(m.MessageAttributes["event_id"].StringValue)+"#d2.") {
			t.Errorf("deduplication id %q", id)
		}
	}
	if len(next) != 2 || next["order:1"] != each || next["order:2"] != each {
		t.Errorf("the queue got %v", next)
	}
	if got := w.drain(t, other); len(got) != 0 {
		t.Errorf("the other queue got %d messages of the redrive", len(got))
	}
	for _, queue := range []string{dead, failing, other} {
		if _, err = w.sqs.DeleteQueue(t.Context(), &sqs.DeleteQueueInput{QueueUrl: &queue}); err != nil {
			t.Error(err)
		}
	}
}
