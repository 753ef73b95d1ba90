package dlq

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/serverless-outbox/serverless-outbox/internal/redrive"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

// journal is a dead-letter queue with one message, its target and a recorder, which note what is asked of them in order.
type journal struct {
	calls []string
	left  bool
	// beginFails and endFails are the errors of the recorder.
	beginFails, endFails error
	begun                Begun
	ended                redrive.Answer
}

func (j *journal) note(call string) { j.calls = append(j.calls, call) }

func (j *journal) Receive(context.Context, Receive) ([]Received, error) {
	j.note("receive")
	if !j.left {
		return nil, nil
	}
	j.left = false
	return []Received{{MessageID: "m", Receipt: "r", GroupID: "g", DeduplicationID: "m", Body: "{}"}}, nil
}

func (j *journal) Delete(_ context.Context, receipts []string) []error {
	j.note("delete")
	return make([]error, len(receipts))
}

func (j *journal) Hide(_ context.Context, receipts []string, _ time.Duration) []error {
	return make([]error, len(receipts))
}

func (j *journal) Depth(context.Context) (Depth, error) { return Depth{}, nil }

func (j *journal) Send(_ context.Context, msgs []Outgoing) []outbox.Result {
	j.note("send")
	return slices.Repeat([]outbox.Result{{Class: outbox.Accepted, MessageID: "n"}}, len(msgs))
}

func (j *journal) Limits() outbox.Limits {
	return outbox.Limits{Entries: 10, MessageBytes: outbox.MaxMessageBytes, BatchBytes: outbox.MaxMessageBytes}
}

func (j *journal) BeginDLQRedrive(_ context.Context, b Begun) (int64, error) {
	j.note("begin")
	j.begun = b
	return 7, j.beginFails
}

func (j *journal) EndDLQRedrive(_ context.Context, id int64, a *redrive.Answer) error {
	j.note("end")
	if id != 7 {
		return errors.New("another record")
	}
	j.ended = *a
	return j.endFails
}

// run redrives the message of j, with one receiver.
func (j *journal) run(t *testing.T, recorder Recorder, r redrive.Request) (redrive.Answer, error) {
	t.Helper()
	e, err := New(Config{Receivers: 1, Wait: -1, Recorder: recorder, RequestID: "request-1"})
	if err != nil {
		t.Fatal(err)
	}
	j.left, r.Source = true, redrive.SourceDLQ
	route := Route{Queue: j, Gauge: j, Target: j, QueueName: "dlq", TargetName: "q", QueueARN: "arn:dlq", TargetARN: "arn:q"}
	return e.Run(t.Context(), route, r, time.Now().Add(time.Minute))
}

func TestARunIsRecordedBeforeItsFirstMessageAndAfterItsLast(t *testing.T) {
	t.Parallel()
	var j journal
	a, err := j.run(t, &j, redrive.Request{Queue: "dlq", EventType: "", Limit: 5})
	if err != nil || a.Redriven != 1 || a.Recorded == nil || !*a.Recorded {
		t.Fatalf("answer %+v, error %v", a, err)
	}
	if n := len(j.calls); j.calls[0] != "begin" || j.calls[n-1] != "end" || !slices.Contains(j.calls, "delete") {
		t.Errorf("calls %v", j.calls)
	}
	if b := j.begun; b.RequestID != "request-1" || b.QueueARN != "arn:dlq" || b.TargetARN != "arn:q" || b.Request.Limit != 5 {
		t.Errorf("began as %+v", b)
	}
	if j.ended.Redriven != 1 {
		t.Errorf("ended as %+v", j.ended)
	}
}

func TestARunThatCannotBeRecordedMovesNothing(t *testing.T) {
	t.Parallel()
	down := errors.New("down")
	j := journal{beginFails: down}
	if a, err := j.run(t, &j, redrive.Request{Queue: "dlq"}); !errors.Is(err, down) || a.Redriven != 0 {
		t.Errorf("answer %+v, error %v", a, err)
	}
	if !slices.Equal(j.calls, []string{"begin"}) {
		t.Errorf("calls %v", j.calls)
	}
}

func TestTheAnswerSaysWhatIsMissingOfTheRecord(t *testing.T) {
	t.Parallel()
	j := journal{endFails: errors.New("down")}
	a, err := j.run(t, &j, redrive.Request{Queue: "dlq"})
	if notes := strings.Join(a.Notes, "\n"); err != nil || a.Redriven != 1 || a.Recorded == nil || !*a.Recorded || !strings.Contains(notes, "has no end") {
		t.Errorf("answer %+v, error %v", a, err)
	}
	j = journal{}
	a, err = j.run(t, nil, redrive.Request{Queue: "dlq"})
	if notes := strings.Join(a.Notes, "\n"); err != nil || a.Redriven != 1 || a.Recorded == nil || *a.Recorded || !strings.Contains(notes, "no record") {
		t.Errorf("answer %+v, error %v", a, err)
	}
}

func TestADryRunIsNotRecorded(t *testing.T) {
	t.Parallel()
	for _, eventType := range []string{"", "order.placed"} {
		var j journal
		a, err := j.run(t, &j, redrive.Request{Queue: "dlq", DryRun: true, EventType: eventType})
		if err != nil || a.Recorded != nil || slices.Contains(j.calls, "begin") || slices.Contains(j.calls, "end") {
			t.Errorf("answer %+v, error %v, calls %v", a, err, j.calls)
		}
	}
}
