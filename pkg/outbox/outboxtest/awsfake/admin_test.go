package awsfake_test

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest/awsfake"
)

func call(t *testing.T, method, url, body string) (status int, header http.Header, answer string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := res.Body.Close(); err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, res.Header, string(out)
}

func TestFaultsAreManagedOverHTTP(t *testing.T) {
	t.Parallel()
	s := start(t, awsfake.Config{})
	base := s.URL() + "/_fake/"
	status, _, body := call(t, "POST", base+"faults", `{"kind":"fail_call","operation":"SendMessageBatch","code":"AccessDenied","status":403,"sender_fault":true}`)
	if status != 200 || !strings.Contains(body, "fault-1") {
		t.Fatalf("%d: %s", status, body)
	}
	if planned := s.Faults(); len(planned) != 1 || planned[0].Code != "AccessDenied" {
		t.Fatalf("planned %+v", planned)
	}
	for _, bad := range []string{`{"kind":"nonsense"}`, `{"kind":"delay","delya":1}`, `{"kind":"delay","probability":2}`} {
		if got, _, text := call(t, "POST", base+"faults", bad); got != 400 {
			t.Errorf("%s: %d, %s", bad, got, text)
		}
	}
	if got, _, _ := call(t, "DELETE", base+"faults/fault-1", ""); got != 200 || len(s.Faults()) != 0 {
		t.Fatalf("%d, %d faults left", got, len(s.Faults()))
	}
	if got, _, _ := call(t, "DELETE", base+"faults/fault-1", ""); got != 404 {
		t.Fatalf("removing it again: %d", got)
	}
}

func TestHistoryIsReadInPagesOverHTTP(t *testing.T) {
	t.Parallel()
	s := start(t, awsfake.Config{})
	q, _ := clients(s)
	url := createQueue(t, q, "q.fifo")
	if _, err := q.SendMessageBatch(t.Context(), batch(url, "1", "2", "1")); err == nil {
		t.Fatal("two entries with one id were accepted")
	}
	if _, err := q.SendMessageBatch(t.Context(), batch(url, "1", "2", "3")); err != nil {
		t.Fatal(err)
	}
	var ids []string
	offset := "0"
	for range 3 {
		_, header, body := call(t, "GET", s.URL()+"/_fake/history?limit=2&offset="+offset, "")
		offset = header.Get("X-Next-Offset")
		lines := bufio.NewScanner(strings.NewReader(body))
		for lines.Scan() {
			var a awsfake.Accepted
			if err := json.Unmarshal(lines.Bytes(), &a); err != nil {
				t.Fatal(err)
			}
			ids = append(ids, a.DeduplicationID)
		}
	}
	if strings.Join(ids, " ") != "1 2 3" || offset != "3" {
		t.Fatalf("ids %v, next offset %s", ids, offset)
	}
}

func TestDeliveryLagHoldsMessagesBackInOrder(t *testing.T) {
	t.Parallel()
	s := start(t, awsfake.Config{})
	q, n := clients(s)
	url := createQueue(t, q, "q.fifo")
	topic, err := n.CreateTopic(t.Context(), &sns.CreateTopicInput{Name: aws.String("t.fifo"), Attributes: map[string]string{"FifoTopic": "true"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.Subscribe(t.Context(), &sns.SubscribeInput{
		TopicArn: topic.TopicArn, Protocol: aws.String("sqs"), Endpoint: aws.String("arn:aws:sqs:us-east-1:000000000000:q.fifo"),
		Attributes: map[string]string{"RawMessageDelivery": "true"},
	}); err != nil {
		t.Fatal(err)
	}
	addFault(t, s, awsfake.Fault{Kind: awsfake.DeliveryLag, Resource: "q.fifo", Delay: time.Hour, Count: 1})
	for _, body := range []string{"slow", "fast"} {
		if _, err := n.Publish(t.Context(), &sns.PublishInput{TopicArn: topic.TopicArn, Message: &body, MessageGroupId: aws.String("g"), MessageDeduplicationId: &body}); err != nil {
			t.Fatal(err)
		}
	}
	if got := s.Tally("q.fifo").Accepted; got != 0 {
		t.Fatalf("%d delivered before the lag was over", got)
	}
	s.Advance(time.Hour)
	var bodies []string
	for len(bodies) < 2 {
		out, err := q.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &url, MaxNumberOfMessages: 10, WaitTimeSeconds: 5})
		if err != nil {
			t.Fatal(err)
		}
		if len(out.Messages) == 0 {
			break
		}
		for _, m := range out.Messages {
			bodies = append(bodies, *m.Body)
			if _, err := q.DeleteMessage(t.Context(), &sqs.DeleteMessageInput{QueueUrl: &url, ReceiptHandle: m.ReceiptHandle}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if strings.Join(bodies, " ") != "slow fast" {
		t.Fatalf("delivered %q", bodies)
	}
}
