package sqsdlq_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/google/uuid"

	"github.com/serverless-outbox/serverless-outbox/internal/redrive"
	"github.com/serverless-outbox/serverless-outbox/internal/redrive/dlq"
	"github.com/serverless-outbox/serverless-outbox/internal/redrive/sqsdlq"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/awsclient"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest/awsfake"
)

// world is a queue with a dead-letter queue.
type world struct {
	fake   *awsfake.Server
	sqs    *sqs.Client
	sns    *sns.Client
	finder *sqsdlq.Finder
	live   string
	dlq    string
	// wait is how many seconds a receive waits that ends a loop.
	wait int32
}

func newWorld(t *testing.T) *world {
	t.Helper()
	fake := awsfake.New(awsfake.Config{})
	if err := fake.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = fake.Close() })
	w := dial(fake.URL())
	w.fake = fake
	w.dlq = w.queue(t, "orders-dlq.fifo", "")
	w.live = w.queue(t, "orders.fifo", "orders-dlq.fifo")
	return w
}

func dial(url string) *world {
	w := &world{}
	static := credentials.NewStaticCredentialsProvider("test", "test", "")
	w.sqs = sqs.New(sqs.Options{
		BaseEndpoint: &url, Region: "us-east-1", Credentials: static, HTTPClient: awsclient.HTTPClient(32), Retryer: awsclient.Retryer(),
	})
	w.sns = sns.New(sns.Options{BaseEndpoint: &url, Region: "us-east-1", Credentials: static, HTTPClient: awsclient.HTTPClient(4)})
	w.finder = &sqsdlq.Finder{SQS: w.sqs, SNS: w.sns, Messages: w.sqs}
	return w
}

// queue makes a FIFO queue, whose messages go to the dead-letter queue at the
// second receive.
func (w *world) queue(t *testing.T, name, dlq string) string {
	t.Helper()
	attributes := map[string]string{
		"FifoQueue": "true", "DeduplicationScope": "messageGroup", "FifoThroughputLimit": "perMessageGroupId",
	}
	if dlq != "" {
		attributes["RedrivePolicy"] = fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":1}`, arnOf(dlq))
	}
	out, err := w.sqs.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: &name, Attributes: attributes})
	if err != nil {
		t.Fatal(err)
	}
	return *out.QueueUrl
}

func arnOf(name string) string { return "arn:aws:sqs:us-east-1:000000000000:" + name }

// event makes the message of an event of the aggregate.
func event(t *testing.T, aggregate string, sequence int) outbox.Message {
	t.Helper()
	msg, err := outbox.Encode(&outbox.Record{
		Event: outbox.Event{
			EventID: uuid.New(), AggregateType: "order", AggregateID: aggregate, Type: "order.changed",
			Payload: json.RawMessage(fmt.Sprint(sequence)),
		},
		ID: int64(sequence), CreatedAt: time.Date(2026, 11, 1, 0, 0, sequence, 0, time.UTC),
	})
	if err != nil {
		t.Fatal(err)
	}
	return msg
}

// send sends messages to a queue, in order.
func (w *world) send(t *testing.T, url string, msgs ...outbox.Message) {
	t.Helper()
	for len(msgs) > 0 {
		n := min(10, len(msgs))
		entries := make([]types.SendMessageBatchRequestEntry, n)
		for i := range entries {
			m := msgs[i]
			entries[i] = types.SendMessageBatchRequestEntry{
				Id: aws.String(fmt.Sprint(i)), MessageBody: &m.Body, MessageGroupId: &m.GroupID, MessageDeduplicationId: &m.DeduplicationID,
				MessageAttributes: map[string]types.MessageAttributeValue{},
			}
			for _, a := range m.Attributes {
				entries[i].MessageAttributes[a.Name] = types.MessageAttributeValue{DataType: aws.String("String"), StringValue: &a.Value}
			}
		}
		out, err := w.sqs.SendMessageBatch(t.Context(), &sqs.SendMessageBatchInput{QueueUrl: &url, Entries: entries})
		if err != nil || len(out.Failed) > 0 {
			t.Fatalf("send: %v %+v", err, out)
		}
		msgs = msgs[n:]
	}
}

// bury sends events of so many aggregates to the dead-letter queue, as if their
// consumer had failed on each.
func (w *world) bury(t *testing.T, aggregates, each int) []outbox.Message {
	t.Helper()
	var all []outbox.Message
	for n := range each {
		for a := range aggregates {
			m := event(t, fmt.Sprint(a), n+1)
			m.DeduplicationID = uuid.NewString()
			all = append(all, m)
		}
	}
	w.send(t, w.dlq, all...)
	return all
}

// fail consumes what is in the live queue without deleting it, until all of it
// is in the dead-letter queue.
func (w *world) fail(t *testing.T, url string) {
	t.Helper()
	for range 1000 {
		out, err := w.sqs.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: &url, MaxNumberOfMessages: 10, WaitTimeSeconds: w.wait})
		if err != nil {
			t.Fatal(err)
		}
		if len(out.Messages) == 0 {
			return
		}
		for _, m := range out.Messages {
			if _, err = w.sqs.ChangeMessageVisibility(t.Context(), &sqs.ChangeMessageVisibilityInput{
				QueueUrl: &url, ReceiptHandle: m.ReceiptHandle, VisibilityTimeout: 0,
			}); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Fatal("the queue does not end")
}

// drain receives and deletes all of a queue.
func (w *world) drain(t *testing.T, url string) []types.Message {
	t.Helper()
	var all []types.Message
	for {
		out, err := w.sqs.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{
			QueueUrl: &url, MaxNumberOfMessages: 10, WaitTimeSeconds: w.wait, MessageAttributeNames: []string{"All"},
			MessageSystemAttributeNames: []types.MessageSystemAttributeName{"All"},
		})
		if err != nil {
			t.Fatal(err)
		}
		if len(out.Messages) == 0 {
			return all
		}
		for _, m := range out.Messages {
			all = append(all, m)
			if _, err = w.sqs.DeleteMessage(t.Context(), &sqs.DeleteMessageInput{QueueUrl: &url, ReceiptHandle: m.ReceiptHandle}); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// depth returns how many messages a queue holds, hidden ones included.
func (w *world) depth(t *testing.T, url string) dlq.Depth {
	t.Helper()
	d, err := sqsdlq.NewQueue(w.sqs, url).Depth(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// quick is the configuration of tests: no long polls.
func quick() dlq.Config {
	return dlq.Config{Wait: -1, RetryMin: time.Millisecond, RetryMax: 5 * time.Millisecond}
}

// run redrives with the route that is found.
func (w *world) run(t *testing.T, cfg dlq.Config, req redrive.Request) redrive.Answer {
	t.Helper()
	engine, err := sqsdlq.NewEngine(*w.finder, cfg)
	if err != nil {
		t.Fatal(err)
	}
	req.Source, req.Queue = redrive.SourceDLQ, w.dlq
	answer, err := engine.Run(t.Context(), req, time.Now().Add(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

func (w *world) runRoute(t *testing.T, cfg dlq.Config, req redrive.Request, route dlq.Route) redrive.Answer {
	t.Helper()
	req.Source = redrive.SourceDLQ
	engine, err := dlq.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := engine.Run(t.Context(), route, req, time.Now().Add(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

// delivered returns what the queue that failed accepted, without what it
// suppressed, and the number of those.
func (w *world) delivered() (all []awsfake.Accepted, suppressed int) {
	for a := range w.fake.History() {
		switch {
		case a.Name != "orders.fifo":
		case a.Suppressed:
			suppressed++
		default:
			all = append(all, a)
		}
	}
	return all, suppressed
}

// inOrder fails unless each group has the bodies 1 to each, once and in order.
// Others are left out.
func inOrder(t *testing.T, all []awsfake.Accepted, groups, each int) {
	t.Helper()
	next := map[string]int{}
	for _, a := range all {
		if strings.HasPrefix(a.Body, `"`) {
			continue
		}
		if next[a.GroupID]++; a.Body != fmt.Sprint(next[a.GroupID]) {
			t.Fatalf("group %s: body %s where %d belongs", a.GroupID, a.Body, next[a.GroupID])
		}
	}
	if len(next) != groups {
		t.Fatalf("%d groups, want %d", len(next), groups)
	}
	for g, n := range next {
		if n != each {
			t.Errorf("group %s: %d messages, want %d", g, n, each)
		}
	}
}

// failures makes the reasons of an answer readable.
func failures(a *redrive.Answer) string {
	var b strings.Builder
	for _, f := range a.Failures {
		fmt.Fprintf(&b, "%s x%d: %s %v\n", f.Reason, f.Count, f.Text, f.Examples)
	}
	return b.String()
}

// faulty is a route whose calls can be tampered with.
type faulty struct {
	dlq.Queue
	target dlq.Target

	mu sync.Mutex
	// before and after are asked ahead of and behind every call, by its name.
	// When they return an error, the call has that outcome.
	before, after func(call string, n int) error
	n             int
}

func (f *faulty) around(call string, do func()) error {
	f.mu.Lock()
	f.n++
	n := f.n
	f.mu.Unlock()
	if f.before != nil {
		if err := f.before(call, n); err != nil {
			return err
		}
	}
	do()
	if f.after != nil {
		return f.after(call, n)
	}
	return nil
}

func (f *faulty) Receive(ctx context.Context, in dlq.Receive) (messages []dlq.Received, err error) {
	if fault := f.around("receive", func() { messages, err = f.Queue.Receive(ctx, in) }); fault != nil {
		return nil, fault
	}
	return messages, err
}

func (f *faulty) Delete(ctx context.Context, receipts []string) (errs []error) {
	if fault := f.around("delete", func() { errs = f.Queue.Delete(ctx, receipts) }); fault != nil {
		return all(len(receipts), fault)
	}
	return errs
}

func (f *faulty) Hide(ctx context.Context, receipts []string, d time.Duration) (errs []error) {
	if fault := f.around("hide", func() { errs = f.Queue.Hide(ctx, receipts, d) }); fault != nil {
		return all(len(receipts), fault)
	}
	return errs
}

func (f *faulty) Send(ctx context.Context, msgs []dlq.Outgoing) (results []outbox.Result) {
	if fault := f.around("send", func() { results = f.target.Send(ctx, msgs) }); fault != nil {
		results = make([]outbox.Result, len(msgs))
		for i := range results {
			results[i] = outbox.Result{Class: outbox.Unknown, Code: "Fault", Err: fault}
		}
	}
	return results
}

func (f *faulty) Limits() outbox.Limits { return f.target.Limits() }

func all(n int, err error) []error {
	errs := make([]error, n)
	for i := range errs {
		errs[i] = err
	}
	return errs
}

// tamper puts f around the route.
func (w *world) tamper(t *testing.T, f *faulty) dlq.Route {
	t.Helper()
	route, err := w.finder.Find(t.Context(), w.dlq, "")
	if err != nil {
		t.Fatal(err)
	}
	f.Queue, f.target = route.Queue, route.Target
	route.Queue, route.Target = f, f
	return route
}
