//go:build unix

package functions_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
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

// invoke sends a request and returns the answer.
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

// deadLetters makes orders.fifo and its dead-letter queue, with messages in it.
func deadLetters(t *testing.T, fake *awsfake.Server, groups, each int) {
	t.Helper()
	dlq := queue(t, fake, "orders-dlq.fifo", nil)
	queue(t, fake, "orders.fifo", map[string]string{
		"RedrivePolicy": `{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:orders-dlq.fifo","maxReceiveCount":1}`,
	})
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
			if out, err := client(fake).SendMessageBatch(t.Context(), &sqs.SendMessageBatchInput{QueueUrl: &dlq, Entries: entries}); err != nil || len(out.Failed) > 0 {
				t.Fatalf("%v %+v", err, out)
			}
		}
	}
}

// A redrive of messages, which needs no database, is killed five times by SIGKILL while it sends.
func TestTheRedriveGoesThroughKills(t *testing.T) {
	t.Parallel()
	groups, each := 20, 20
	if *campaign {
		groups = 500
	}
	var f *lambdahost.Function
	sent := 0
	// Called for each acceptance, in order.
	fake := broker(t, awsfake.Config{OnAccepted: func(a awsfake.Accepted) {
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
	deadLetters(t, fake, groups, each)
	f, output := function(t, "dlq-redrive", 2*time.Minute, map[string]string{"AWS_ENDPOINT_URL": fake.URL(), "OUTBOX_REDRIVE_QUEUE": "orders-dlq.fifo"})
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

func TestTheRedriveSaysWhatToChange(t *testing.T) {
	t.Parallel()
	fake := broker(t, awsfake.Config{})
	f, output := function(t, "dlq-redrive", 2*time.Minute, map[string]string{"AWS_ENDPOINT_URL": fake.URL()})
	for request, want := range map[string]string{
		`{"source":"dlq"}`:                            "OUTBOX_REDRIVE_QUEUE",
		`{"source":"dlq","queue":"absent.fifo"}`:      "absent.fifo",
		`{"source":"dead_letters"}`:                   "OUTBOX_DATABASE_URL",
		`{"action":"replay","aggregate_type":"a"}`:    "OUTBOX_DATABASE_URL",
		`{"source":"dlq","queue":1,"rate":-1,"x":{}}`: "x: is not a field",
	} {
		if _, err := invoke(t, f, request); err == nil || !strings.Contains(err.Error(), want) || !output.writes(want) {
			t.Errorf("%s: error %v, want one with %q", request, err, want)
		}
	}
	wrong, _ := function(t, "dlq-redrive", 2*time.Minute, map[string]string{"OUTBOX_DATABASE_URL": "postgres://%", "OUTBOX_LOG_LEVEL": "loud"})
	_, err := invoke(t, wrong, `{"source":"dlq"}`)
	if err == nil || !strings.Contains(err.Error(), "OUTBOX_DATABASE_URL") || !strings.Contains(err.Error(), "OUTBOX_LOG_LEVEL") {
		t.Errorf("error %v", err)
	}
}

func TestTheRedriveBringsBackWhatIsInTheDatabase(t *testing.T) {
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
	f, output := function(t, "dlq-redrive", 2*time.Minute, map[string]string{"OUTBOX_DATABASE_URL": pool.Config().ConnString()})
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

// A redrive of messages is on record in the database, where one is configured, under the id of its invocation. Without
// the record nothing moves.
func TestARedriveOfMessagesIsRecordedInTheDatabase(t *testing.T) {
	t.Parallel()
	pool := outboxtest.DB(t)
	fake := broker(t, awsfake.Config{})
	deadLetters(t, fake, 2, 3)
	f, output := function(t, "dlq-redrive", 2*time.Minute, map[string]string{
		"AWS_ENDPOINT_URL": fake.URL(), "OUTBOX_DATABASE_URL": pool.Config().ConnString(),
	})
	const request = `{"source":"dlq","queue":"orders-dlq.fifo","limit":4}`
	answer, err := invoke(t, f, request)
	if err != nil || answer.Redriven != 4 || answer.Recorded == nil || !*answer.Recorded {
		t.Fatalf("answer %+v, error %v\n%s", answer, err, output)
	}
	var queue, limit, redriven, id string
	if err = pool.QueryRow(t.Context(), `SELECT queue, request->>'limit', answer->>'redriven', request_id FROM outbox.dlq_redrives WHERE ended_at >= started_at`).
		Scan(&queue, &limit, &redriven, &id); err != nil {
		t.Fatal(err)
	}
	if queue != "arn:aws:sqs:us-east-1:000000000000:orders-dlq.fifo" || limit != "4" || redriven != "4" || uuid.Validate(id) != nil {
		t.Errorf("queue %s, limit %s, redriven %s, request id %s", queue, limit, redriven, id)
	}
	if _, err = pool.Exec(t.Context(), `DROP FUNCTION outbox.begin_dlq_redrive`); err != nil {
		t.Fatal(err)
	}
	if answer, err = invoke(t, f, request); err == nil || !strings.Contains(err.Error(), "record") {
		t.Errorf("answer %+v, error %v", answer, err)
	}
	alone, _ := function(t, "dlq-redrive", 2*time.Minute, map[string]string{"AWS_ENDPOINT_URL": fake.URL()})
	if answer, err = invoke(t, alone, request); err != nil || answer.Redriven != 2 || answer.Recorded == nil || *answer.Recorded {
		t.Errorf("without a database: answer %+v, error %v", answer, err)
	}
}
