//go:build unix

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/lambdahost"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest/awsfake"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

// The program as it is deployed, with PostgreSQL and SQS behind it.
func TestTheProgramCarriesEventsInOrder(t *testing.T) {
	t.Parallel()
	fake := awsfake.New(awsfake.Config{})
	if err := fake.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = fake.Close() })
	queues := sqs.New(sqs.Options{
		BaseEndpoint: aws.String(fake.URL()), Region: "us-east-1",
		Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""),
	})
	made, err := queues.CreateQueue(t.Context(), &sqs.CreateQueueInput{
		QueueName: aws.String("orders.fifo"), Attributes: map[string]string{"FifoQueue": "true"},
	})
	if err != nil {
		t.Fatal(err)
	}

	pool := outboxtest.DB(t)
	const aggregates, each = 10, 20
	for n := range each {
		tx, failed := pool.Begin(t.Context())
		if failed != nil {
			t.Fatal(failed)
		}
		for a := range aggregates {
			if _, err = outbox.Enqueue(t.Context(), tx, outbox.Event{
				AggregateType: "order", AggregateID: fmt.Sprint(a), Type: "order.changed", Payload: json.RawMessage(fmt.Sprint(n)),
			}); err != nil {
				t.Fatal(err)
			}
		}
		if err = tx.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
	}

	f, output := function(t, pool.Config().ConnString(), fake.URL(), *made.QueueUrl)
	response, err := f.Invoke(t.Context(), []byte(`{}`))
	if err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	var summary relay.Summary
	if err = json.Unmarshal(response.Payload, &summary); err != nil {
		t.Fatal(err)
	}
	if summary.Outcome != relay.Idle || summary.Published != aggregates*each || summary.Settled != aggregates*each {
		t.Errorf("summary %s\n%s", response.Payload, output)
	}
	next := map[string]int{}
	for a := range fake.History() {
		if a.Body != fmt.Sprint(next[a.GroupID]) {
			t.Errorf("group %s: body %s, want %d", a.GroupID, a.Body, next[a.GroupID])
		}
		next[a.GroupID]++
	}
	if len(next) != aggregates {
		t.Errorf("%d groups", len(next))
	}
	var unsent int
	if err = pool.QueryRow(t.Context(), `SELECT count(*) FROM outbox.events WHERE sent_at IS NULL`).Scan(&unsent); err != nil || unsent != 0 {
		t.Errorf("%d unsent, error %v", unsent, err)
	}
	if !output.Writes(`"CloudWatchMetrics"`) {
		t.Errorf("no metrics in:\n%s", output)
	}
	// The environment is used again, with the connections it has.
	again, err := f.Invoke(t.Context(), []byte(`{}`))
	if err != nil || again.Environment != response.Environment {
		t.Errorf("second invocation in environment %d, error %v\n%s", again.Environment, err, output)
	}
}

func TestTheProgramNamesWhatIsWrong(t *testing.T) {
	t.Parallel()
	queue := "http://127.0.0.1:1/000000000000/orders.fifo"
	for want, url := range map[string]string{
		"OUTBOX_DATABASE_URL": "",
		"cannot be reached":   "postgres://relay:hush@127.0.0.1:1/app",
		"outbox migrate":      outboxtest.URL(t, outboxtest.Unmigrated()),
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			f, output := function(t, url, "http://127.0.0.1:1", queue)
			_, err := f.Invoke(t.Context(), []byte(`{}`))
			if err == nil || !strings.Contains(err.Error(), want) || !output.Writes(want) {
				t.Errorf("error %v, want one with %q\n%s", err, want, output)
			}
			if err != nil && strings.Contains(err.Error()+output.String(), "hush") {
				t.Errorf("the password is shown: %v\n%s", err, output)
			}
		})
	}
}

// function builds the program and returns it with what it wrote.
func function(t *testing.T, database, endpoint, queue string) (*lambdahost.Function, *lambdahost.Transcript) {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "bootstrap")
	if built, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, built)
	}
	var output lambdahost.Transcript
	f, err := lambdahost.New(lambdahost.Config{
		Binary:  binary,
		Timeout: 30 * time.Second, InitTimeout: time.Minute,
		Memory: 512,
		Env: map[string]string{
			"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_ENDPOINT_URL": endpoint,
			"OUTBOX_DATABASE_URL": database,
			"OUTBOX_DESTINATIONS": fmt.Sprintf(`{"default":%q}`, queue),
			"OUTBOX_IDLE_EXIT":    "300ms",
		},
		Output: output.Add,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := f.Close(ctx); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return f, &output
}
