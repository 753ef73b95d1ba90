package sqsdlq_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/google/uuid"

	"github.com/serverless-outbox/serverless-outbox/internal/redrive"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

// bodies returns what the queue accepted as "group body", sorted.
func (w *world) bodies() string {
	all, _ := w.delivered()
	var list []string
	for _, a := range all {
		list = append(list, strings.TrimPrefix(a.GroupID, "order:")+"/"+a.Body)
	}
	slices.Sort(list)
	return strings.Join(list, " ")
}

func TestFiltersPickEvents(t *testing.T) {
	t.Parallel()
	at := func(second int) time.Time { return time.Date(2026, 11, 1, 0, 0, second, 0, time.UTC) }
	for name, c := range map[string]struct {
		req         redrive.Request
		want        string
		skipped     int
		unconfirmed int
		outOfOrder  int
	}{
		"an aggregate":           {req: redrive.Request{AggregateType: "order", AggregateID: "1"}, want: "1/1 1/2 1/3", skipped: 3},
		"a type of aggregates":   {req: redrive.Request{AggregateType: "invoice"}, skipped: 6},
		"a type of events":       {req: redrive.Request{EventType: "order.changed"}, want: "0/1 0/2 0/3 1/1 1/2 1/3"},
		"another type of events": {req: redrive.Request{EventType: "order.placed"}, skipped: 6},
		"the first by time":      {req: redrive.Request{To: at(3)}, want: "0/1 0/2 1/1 1/2", skipped: 2},
		"the first by id":        {req: redrive.Request{IDTo: 1}, want: "0/1 1/1", skipped: 4},
		// What stands behind a gap is left without a confirmation.
		"the last by time":      {req: redrive.Request{From: at(3)}, skipped: 4, unconfirmed: 2},
		"the last by id, meant": {req: redrive.Request{IDFrom: 2, Confirm: true}, want: "0/2 0/3 1/2 1/3", skipped: 2, outOfOrder: 4},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.bury(t, 2, 3)
			dry := c.req
			dry.DryRun = true
			plan := w.run(t, quick(), dry)
			if plan.Redriven != 0 || plan.Matched != strings.Count(c.want, "/") || w.bodies() != "" {
				t.Errorf("dry run %+v, queue %q", plan, w.bodies())
			}
			answer := w.run(t, quick(), c.req)
			if got := w.bodies(); got != c.want {
				t.Errorf("redriven %q, want %q", got, c.want)
			}
			if answer.Skipped != c.skipped || answer.Unconfirmed != c.unconfirmed || answer.OutOfOrder != c.outOfOrder || answer.More || answer.Failed != 0 {
				t.Errorf("answer %+v", answer)
			}
			// What stays is visible at once, and comes out in order.
			left := w.drain(t, w.dlq)
			if len(left) != 6-answer.Redriven {
				t.Fatalf("%d messages are left", len(left))
			}
			last := map[string]string{}
			for _, m := range left {
				if g := m.Attributes["MessageGroupId"]; last[g] >= *m.Body {
					t.Errorf("group %s: %s behind %s", g, *m.Body, last[g])
				} else {
					last[g] = *m.Body
				}
			}
		})
	}
}

func TestEventIDsPickOneEvent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	buried := w.bury(t, 3, 2)
	wanted := attribute(buried[1], "event_id") // the first of group 1
	answer := w.run(t, quick(), redrive.Request{EventIDs: []uuid.UUID{uuid.MustParse(wanted), uuid.New()}})
	if got := w.bodies(); got != "1/1" || answer.Redriven != 1 || answer.Skipped != 5 {
		t.Errorf("redriven %q, answer %+v", got, answer)
	}
}

func attribute(m outbox.Message, name string) string {
	for _, a := range m.Attributes {
		if a.Name == name {
			return a.Value
		}
	}
	return ""
}

// A run looks at each message once, however many do not match, and a group of
// more than one receive says that it was not seen to its end.
func TestAFilterEndsAndCountsWhatItCouldNotSee(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.bury(t, 1, 15)
	answer := w.run(t, quick(), redrive.Request{AggregateType: "order", AggregateID: "9"})
	if answer.Skipped != 10 || answer.Unseen != 5 || answer.More || answer.Redriven != 0 {
		t.Errorf("answer %+v", answer)
	}
	for i, m := range w.drain(t, w.dlq) {
		if *m.Body != fmt.Sprint(i+1) {
			t.Errorf("message %d is %s", i, *m.Body)
		}
		if n := m.Attributes["ApproximateReceiveCount"]; n != "2" && i < 10 {
			t.Errorf("message %d was received %s times, with this one", i, n)
		}
	}
}

func TestADryRunOfEverythingReceivesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.bury(t, 4, 5)
	answer := w.run(t, quick(), redrive.Request{DryRun: true})
	if answer.Matched != 20 || answer.Redriven != 0 || answer.More || !answer.DryRun {
		t.Errorf("answer %+v", answer)
	}
	if answer = w.run(t, quick(), redrive.Request{DryRun: true, Limit: 3}); answer.Matched != 3 {
		t.Errorf("answer %+v", answer)
	}
	if n := w.fake.Calls()["ReceiveMessage"]; n != 0 {
		t.Errorf("%d receives", n)
	}
}

func TestADryRunReceivesEachMessageOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.bury(t, 4, 5)
	answer := w.run(t, quick(), redrive.Request{DryRun: true, AggregateType: "order"})
	if answer.Matched != 20 || answer.Redriven != 0 || answer.More {
		t.Errorf("answer %+v", answer)
	}
	left := w.drain(t, w.dlq)
	for _, m := range left {
		if n := m.Attributes["ApproximateReceiveCount"]; n != "2" {
			t.Errorf("received %s times, with this one", n)
		}
	}
	if len(left) != 20 {
		t.Errorf("%d messages are left", len(left))
	}
}

// A message of somebody else's goes back as it is: attributes of any type, the
// trace header, no event id.
func TestForeignMessagesGoBackAsTheyAre(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	attributes := map[string]types.MessageAttributeValue{
		"count":    {DataType: aws.String("Number.int"), StringValue: aws.String("7")},
		"raw":      {DataType: aws.String("Binary"), BinaryValue: []byte{0, 1, 255}},
		"event_id": {DataType: aws.String("String"), StringValue: aws.String("no uuid")},
	}
	if _, err := w.sqs.SendMessage(t.Context(), &sqs.SendMessageInput{
		QueueUrl: &w.live, MessageBody: aws.String("text of no JSON"), MessageGroupId: aws.String("theirs"),
		MessageDeduplicationId: aws.String("once"), MessageAttributes: attributes,
		MessageSystemAttributes: map[string]types.MessageSystemAttributeValue{
			"AWSTraceHeader": {DataType: aws.String("String"), StringValue: aws.String("Root=1-5e1b4151-5ac6c58dc39a6b6b1f8a1d7e")},
		},
	}); err != nil {
		t.Fatal(err)
	}
	for round := 1; round <= 2; round++ {
		w.fail(t, w.live)
		if answer := w.run(t, quick(), redrive.Request{}); answer.Redriven != 1 {
			t.Fatalf("answer %+v", answer)
		}
	}
	got := w.drain(t, w.live)
	if len(got) != 1 || *got[0].Body != "text of no JSON" || got[0].Attributes["MessageGroupId"] != "theirs" ||
		got[0].Attributes["AWSTraceHeader"] == "" || len(got[0].MessageAttributes) != 4 ||
		aws.ToString(got[0].MessageAttributes["count"].DataType) != "Number.int" ||
		string(got[0].MessageAttributes["raw"].BinaryValue) != "\x00\x01\xff" ||
		aws.ToString(got[0].MessageAttributes["redrives"].StringValue) != "2" {
		t.Fatalf("got %+v", got)
	}
}

// With ten attributes there is no room for the count, and the message arrives
// all the same, twice inside five minutes.
func TestAFullMessageIsNotCountedAndArrives(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := outbox.Message{GroupID: "g", DeduplicationID: "d", Body: "{}"}
	for i := range 10 {
		m.Attributes = append(m.Attributes, outbox.Attribute{Name: fmt.Sprintf("a%d", i), Value: "v"})
	}
	w.send(t, w.live, m)
	for range 2 {
		w.fail(t, w.live)
		if answer := w.run(t, quick(), redrive.Request{}); answer.Redriven != 1 {
			t.Fatalf("answer %+v", answer)
		}
		if d := w.depth(t, w.live); d.Visible != 1 {
			t.Fatalf("the queue holds %+v", d)
		}
	}
	if got := w.drain(t, w.live); len(got[0].MessageAttributes) != 10 {
		t.Errorf("%d attributes", len(got[0].MessageAttributes))
	}
}
