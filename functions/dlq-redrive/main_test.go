//go:build unix

package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/google/uuid"

	"github.com/serverless-outbox/serverless-outbox/internal/redrive"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/lambdahost"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest/awsfake"
)

var campaign = flag.Bool("redrive.campaign", false, "kill runs over 10,000 messages of 500 groups, where a test has 400 of 20")

// program is the path of the compiled function.
var program = sync.OnceValues(func() (string, error) {
	folder, err := os.MkdirTemp("", "dlq-redrive")
	if err != nil {
		return "", err
	}
	binary := filepath.Join(folder, "bootstrap")
	if built, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, built)
	}
	return binary, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if binary, err := program(); err == nil {
		_ = os.RemoveAll(filepath.Dir(binary))
	}
	os.Exit(code)
}

// function runs the program with the variables and returns what it wrote.
func function(t *testing.T, env map[string]string) (*lambdahost.Function, *lambdahost.Transcript) {
	t.Helper()
	binary, err := program()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
	maps.Copy(all, env)
	var output lambdahost.Transcript
	f, err := lambdahost.New(lambdahost.Config{
		Binary: binary, Timeout: 2 * time.Minute, InitTimeout: time.Minute, Memory: 512, Env: all,
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

func invoke(t *testing.T, f *lambdahost.Function, request string) (redrive.Answer, error) {
	t.Helper()
	response, err := f.Invoke(t.Context(), []byte(request))
	if err != nil {
		return redrive.Answer{}, err
	}
	var answer redrive.Answer
	if err = json.Unmarshal(response.Payload, &answer); err != nil {
		t.Fatalf("%v in %s", err, response.Payload)
	}
	return answer, nil
}

// queues makes orders.fifo and its dead-letter queue, with messages in it.
func queues(t *testing.T, fake *awsfake.Server, groups, each int) {
	t.Helper()
	client := sqs.New(sqs.Options{
		BaseEndpoint: aws.String(fake.URL()), Region: "us-east-1",
		Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""),
	})
	var dlq string
	for _, name := range []string{"orders-dlq.fifo", "orders.fifo"} {
		attributes := map[string]string{"FifoQueue": "true"}
		if name == "orders.fifo" {
			attributes["RedrivePolicy"] = `{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:orders-dlq.fifo","maxReceiveCount":1}`
		}
		out, err := client.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: &name, Attributes: attributes})
		if err != nil {
			t.Fatal(err)
		}
		if dlq == "" {
			dlq = *out.QueueUrl
		}
	}
	for n := range each {
		for first := 0; first < groups; first += 10 {
			var entries []types.SendMessageBatchRequestEntry
			for g := first; g < min(first+10, groups); g++ {
				entries = append(entries, types.SendMessageBatchRequestEntry{
					Id: aws.String(fmt.Sprint(g)), MessageBody: aws.String(fmt.Sprint(n)), MessageGroupId: aws.String(fmt.Sprint("order:", g)),
					MessageDeduplicationId: aws.String(uuid.NewString()),
					MessageAttributes: map[string]types.MessageAttributeValue{
						"event_id": {DataType: aws.String("String"), StringValue: aws.String(uuid.NewString())},
					},
				})
			}
			if out, err := client.SendMessageBatch(t.Context(), &sqs.SendMessageBatchInput{QueueUrl: &dlq, Entries: entries}); err != nil || len(out.Failed) > 0 {
				t.Fatalf("%v %+v", err, out)
			}
		}
	}
}

func start(t *testing.T, c awsfake.Config) *awsfake.Server {
	t.Helper()
	fake := awsfake.New(c)
	if err := fake.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = fake.Close() })
	return fake
}

// The program as it is deployed, without a database, killed five times by
// SIGKILL while it sends.
func TestTheProgramRedrivesADeadLetterQueueThroughKills(t *testing.T) {
	t.Parallel()
	groups, each := 20, 20
	if *campaign {
		groups = 500
	}
	var f *lambdahost.Function
	sent := 0
	// Called for each acceptance, in order.
	fake := start(t, awsfake.Config{OnAccepted: func(a awsfake.Accepted) {
		if a.Name != "orders.fifo" || a.Suppressed {
			return
		}
		if sent++; sent%(groups*each/6) != 0 || sent == groups*each {
			return
		}
		for _, r := range f.Running() {
			_ = f.Kill(r.RequestID)
		}
	}})
	queues(t, fake, groups, each)
	f, output := function(t, map[string]string{"AWS_ENDPOINT_URL": fake.URL(), "OUTBOX_REDRIVE_QUEUE": "orders-dlq.fifo"})
	started := time.Now()
	killed := 0
	for {
		answer, err := invoke(t, f, `{"source":"dlq"}`)
		if err == nil && !answer.More {
			break
		}
		if err != nil {
			if killed++; killed > 10 {
				t.Fatalf("%v\n%s", err, output)
			}
		}
		fake.Advance(61 * time.Second) // what the killed one had in hand appears again
	}
	if killed < 5 {
		t.Errorf("killed %d times", killed)
	}
	next := map[string]int{}
	swallowed := 0
	for a := range fake.History() {
		switch {
		case a.Name != "orders.fifo":
		case a.Suppressed:
			swallowed++
		default:
			if a.Body != fmt.Sprint(next[a.GroupID]) {
				t.Fatalf("group %s: body %s where %d belongs", a.GroupID, a.Body, next[a.GroupID])
			}
			next[a.GroupID]++
		}
	}
	for g, n := range next {
		if n != each {
			t.Errorf("group %s: %d messages", g, n)
		}
	}
	if len(next) != groups {
		t.Errorf("%d groups", len(next))
	}
	t.Logf("%d messages of %d groups in %v, killed %d times, %d repeated sends swallowed", groups*each, groups, time.Since(started), killed, swallowed)
}

func TestTheProgramSaysWhatToChange(t *testing.T) {
	t.Parallel()
	fake := start(t, awsfake.Config{})
	f, output := function(t, map[string]string{"AWS_ENDPOINT_URL": fake.URL()})
	for request, want := range map[string]string{
		`{"source":"dlq"}`:                            "OUTBOX_REDRIVE_QUEUE",
		`{"source":"dlq","queue":"absent.fifo"}`:      "absent.fifo",
		`{"source":"dead_letters"}`:                   "OUTBOX_DATABASE_URL",
		`{"action":"replay","aggregate_type":"a"}`:    "OUTBOX_DATABASE_URL",
		`{"source":"dlq","queue":1,"rate":-1,"x":{}}`: "x: is not a field",
	} {
		if _, err := invoke(t, f, request); err == nil || !strings.Contains(err.Error(), want) || !output.Writes(want) {
			t.Errorf("%s: error %v, want one with %q", request, err, want)
		}
	}
	wrong, _ := function(t, map[string]string{"OUTBOX_REDRIVE_MARGIN": "1s", "OUTBOX_REDRIVE_RECEIVERS": "0"})
	_, err := invoke(t, wrong, `{"source":"dlq"}`)
	if err == nil || !strings.Contains(err.Error(), "OUTBOX_REDRIVE_MARGIN") || !strings.Contains(err.Error(), "OUTBOX_REDRIVE_RECEIVERS") {
		t.Errorf("error %v", err)
	}
}

// The same program serves the sources that are in the database.
func TestTheProgramRedrivesAndReplaysWhatIsInTheDatabase(t *testing.T) {
	t.Parallel()
	pool := outboxtest.DB(t)
	tx, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err = outbox.Enqueue(t.Context(), tx, outbox.Event{
		AggregateType: "order", AggregateID: "1", Type: "order.placed", Payload: json.RawMessage(`{}`),
	}); err != nil {
		t.Fatal(err)
	}
	if err = tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err = pool.Exec(t.Context(), `UPDATE outbox.events SET sent_at = now(), message_id = 'm', sequence_number = '1'`); err != nil {
		t.Fatal(err)
	}
	f, output := function(t, map[string]string{"OUTBOX_DATABASE_URL": pool.Config().ConnString()})
	answer, err := invoke(t, f, `{"action":"replay","aggregate_type":"order","aggregate_id":"1"}`)
	if err != nil || answer.Redriven != 1 || answer.Action != redrive.ActionReplay {
		t.Errorf("answer %+v, error %v\n%s", answer, err, output)
	}
	var pending int
	if err = pool.QueryRow(t.Context(), `SELECT count(*) FROM outbox.events WHERE sent_at IS NULL`).Scan(&pending); err != nil || pending != 1 {
		t.Errorf("%d pending, error %v", pending, err)
	}
	for _, source := range []redrive.Source{redrive.SourceDeadLetters, redrive.SourceBlocked} {
		if answer, err = invoke(t, f, fmt.Sprintf(`{"source":%q}`, source)); err != nil || answer.Source != source || answer.Redriven != 0 {
			t.Errorf("answer %+v, error %v", answer, err)
		}
	}
}
