package brokers_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/awsclient"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest/awsfake"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/pgstore"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/sqssink"
)

// patience is how long a test waits for what must happen.
const patience = 4 * time.Minute

// world is a database and an emulator with queues.
type world struct {
	t    *testing.T
	pool *pgxpool.Pool
	// sqs is the client of the sinks, consumer that of all else: it retries as the
	// SDK does for an application.
	sqs, consumer *sqs.Client
	// sinks of the destinations, by name.
	destinations map[string]relay.Destination
}

// onEach runs f against the fake and against LocalStack.
func onEach(t *testing.T, f func(w *world)) {
	t.Helper()
	t.Run("fake", func(t *testing.T) {
		t.Parallel()
		s := awsfake.New(awsfake.Config{})
		if err := s.Start("127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		f(newWorld(t, s.URL()))
	})
	t.Run("localstack", func(t *testing.T) {
		t.Parallel()
		url := os.Getenv("OUTBOX_TEST_LOCALSTACK_URL")
		if url == "" {
			t.Skip("NOT RUN: OUTBOX_TEST_LOCALSTACK_URL is not set; `make test` starts LocalStack and sets it")
		}
		f(newWorld(t, url))
	})
}

func newWorld(t *testing.T, endpoint string) *world {
	t.Helper()
	options := sqs.Options{BaseEndpoint: &endpoint, Region: "us-east-1", Credentials: credentials.NewStaticCredentialsProvider("test", "test", "")}
	options.HTTPClient = awsclient.HTTPClient(16)
	consumer := sqs.New(options)
	options.Retryer = awsclient.Retryer()
	return &world{
		t: t, pool: outboxtest.DB(t), destinations: map[string]relay.Destination{},
		sqs: sqs.New(options), consumer: consumer,
	}
}

// queue makes a FIFO queue and returns its URL.
func (w *world) queue(attributes map[string]string) string {
	w.t.Helper()
	all := map[string]string{"FifoQueue": "true"}
	maps.Copy(all, attributes)
	out, err := w.consumer.CreateQueue(w.t.Context(), &sqs.CreateQueueInput{QueueName: aws.String("emulated-" + uuid.NewString() + ".fifo"), Attributes: all})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		_, _ = w.consumer.DeleteQueue(context.Background(), &sqs.DeleteQueueInput{QueueUrl: out.QueueUrl})
	})
	return aws.ToString(out.QueueUrl)
}

// destination makes the queue at url a destination of the relay, called name.
func (w *world) destination(name, url string, onReject relay.OnReject) {
	w.t.Helper()
	sink, err := sqssink.New(w.sqs, sqssink.Config{QueueURL: url})
	if err != nil {
		w.t.Fatal(err)
	}
	w.destinations[name] = relay.Destination{Sink: sink, OnReject: onReject}
}

// write commits an event for each body, in their order.
func (w *world) write(destination, aggregate string, bodies ...string) {
	w.t.Helper()
	tx, err := w.pool.Begin(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	for _, b := range bodies {
		if _, err = outbox.Enqueue(w.t.Context(), tx, outbox.Event{
			AggregateType: "order", AggregateID: aggregate, Type: "order.changed", Destination: destination, Payload: json.RawMessage(b),
		}); err != nil {
			w.t.Fatal(err)
		}
	}
	if err := tx.Commit(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

// carry runs a relay until nothing is left that could be sent.
func (w *world) carry() {
	w.t.Helper()
	r, err := relay.New(pgstore.New(w.pool), relay.Config{
		Destinations: w.destinations, Logger: slog.New(slog.DiscardHandler), RetryMin: 5 * time.Millisecond, RetryMax: 100 * time.Millisecond,
		IdleExit: 300 * time.Millisecond, SendTimeout: 20 * time.Second, LeaseTTL: time.Minute,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	sum, err := r.Run(w.t.Context(), time.Now().Add(patience))
	if err != nil || sum.Outcome != relay.Idle {
		w.t.Fatalf("relay: %+v, %v", sum, err)
	}
}

// held is how long a message that was received is hidden from others.
const held = 2 * time.Minute

// receive returns up to n messages, and waits a second for the first. It fails when the answer is lost, since
// messages that were in it are then hidden.
func (w *world) receive(url string, n int32) []types.Message {
	w.t.Helper()
	messages, err := w.tryReceive(url, n, held)
	if err != nil {
		w.t.Fatal(err)
	}
	return messages
}

func (w *world) tryReceive(url string, n int32, visibility time.Duration) ([]types.Message, error) {
	out, err := w.consumer.ReceiveMessage(w.t.Context(), &sqs.ReceiveMessageInput{
		QueueUrl: &url, MaxNumberOfMessages: n, VisibilityTimeout: int32(visibility.Seconds()), WaitTimeSeconds: 1, MessageAttributeNames: []string{"All"},
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll},
	})
	if err != nil {
		return nil, fmt.Errorf("receive: %w", err)
	}
	return out.Messages, nil
}

// hide makes a received message visible again after so many seconds.
func (w *world) hide(url string, m *types.Message, seconds int32) {
	w.t.Helper()
	if _, err := w.consumer.ChangeMessageVisibility(w.t.Context(), &sqs.ChangeMessageVisibilityInput{QueueUrl: &url, ReceiptHandle: m.ReceiptHandle, VisibilityTimeout: seconds}); err != nil {
		w.t.Fatal(err)
	}
}

// drained is how long drain hides a message, which it deletes at once.
const drained = 15 * time.Second

// drain receives and deletes all there is, and returns the bodies by aggregate.
// As a consumer does, it goes on when an answer is lost: its messages come
// again when they are no longer hidden.
func (w *world) drain(url string) map[string][]string {
	w.t.Helper()
	got := map[string][]string{}
	deleted := map[string]bool{}
	var hidden time.Time
	for end := time.Now().Add(patience); time.Now().Before(end); {
		messages, err := w.tryReceive(url, 10, drained)
		if err != nil {
			w.t.Logf("%v: its messages are expected again", err)
			hidden = time.Now().Add(drained + time.Second)
			continue
		}
		if len(messages) == 0 && time.Now().After(hidden) {
			return got
		}
		for i := range messages {
			if id := aws.ToString(messages[i].MessageId); !deleted[id] {
				deleted[id] = true
				a := attribute(&messages[i], outbox.AttributeAggregateID)
				got[a] = append(got[a], aws.ToString(messages[i].Body))
			}
			w.delete(url, &messages[i])
		}
	}
	w.t.Fatalf("%s is not empty after %v", url, patience)
	return nil
}

// delete deletes a message, again if the answer is lost.
func (w *world) delete(url string, m *types.Message) {
	w.t.Helper()
	in := &sqs.DeleteMessageInput{QueueUrl: &url, ReceiptHandle: m.ReceiptHandle}
	if _, err := w.consumer.DeleteMessage(w.t.Context(), in); err == nil {
		return
	}
	if _, err := w.consumer.DeleteMessage(w.t.Context(), in); err != nil {
		w.t.Fatal(err)
	}
}

func attribute(m *types.Message, name string) string {
	return aws.ToString(m.MessageAttributes[name].StringValue)
}

// want fails the test unless the bodies received, by aggregate, are those wanted.
func (w *world) want(got, want map[string][]string) {
	w.t.Helper()
	for _, a := range slices.Sorted(maps.Keys(want)) {
		if !slices.Equal(got[a], want[a]) {
			w.t.Errorf("aggregate %s: received %s, want %s", a, short(got[a]), short(want[a]))
		}
	}
	if len(got) != len(want) {
		w.t.Errorf("received of %d aggregates, want %d", len(got), len(want))
	}
}

func short(bodies []string) string {
	var words []string
	for _, b := range bodies {
		words = append(words, b[:min(len(b), 12)])
	}
	return strings.Join(words, " ")
}

func (w *world) number(query string) (n int) {
	w.t.Helper()
	if err := w.pool.QueryRow(w.t.Context(), query).Scan(&n); err != nil {
		w.t.Fatal(err)
	}
	return n
}

func body(n int) string { return fmt.Sprintf(`{"n":%d}`, n) }
