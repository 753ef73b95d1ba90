package boot

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/lambdacontext"

	"github.com/serverless-outbox/serverless-outbox/internal/host"
	"github.com/serverless-outbox/serverless-outbox/internal/redrive"
)

// recorder is the environment of a redrive that remembers the newest call.
type recorder struct {
	opened int
	call   host.Call[redrive.Request]
}

func (r *recorder) open(context.Context) (RedriveEnvironment, error) {
	r.opened++
	return r, nil
}

func (*recorder) Thaw() {}

func (r *recorder) Run(_ context.Context, call host.Call[redrive.Request]) (redrive.Answer, error) {
	r.call = call
	return redrive.Answer{Action: call.Request.Action, Source: call.Request.Source, Redriven: 7}, nil
}

func (*recorder) Close() {}

func invocation(t *testing.T, timeout time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	t.Cleanup(cancel)
	return lambdacontext.NewContext(ctx, &lambdacontext.LambdaContext{AwsRequestID: "request-1"})
}

func TestTheRequestIsPassedOnWithItsTime(t *testing.T) {
	t.Parallel()
	var r recorder
	var log bytes.Buffer
	h := (&Redrive{}).Host(slog.New(slog.NewJSONHandler(&log, nil)), r.open)
	ctx := invocation(t, time.Minute)
	answer, err := h.Handle(ctx, []byte(`{"source":"dlq","queue":"orders-dlq.fifo"}`))
	if err != nil || answer.Redriven != 7 {
		t.Fatalf("answer %+v, error %v", answer, err)
	}
	deadline, _ := ctx.Deadline()
	if !r.call.Until.Equal(deadline.Add(-redriveMargin)) || r.call.RequestID != "request-1" || r.call.Request.Queue != "orders-dlq.fifo" {
		t.Errorf("call %+v", r.call)
	}
	if !strings.Contains(log.String(), `"redriven":7`) {
		t.Errorf("log %s", log.String())
	}
}

func TestARedriveThatIsAskedWronglyOpensNothing(t *testing.T) {
	t.Parallel()
	for payload, want := range map[string]string{
		`{"sauce":"dlq"}`: "sauce: is not a field",
		`{}`:              "source: is missing",
		``:                "one JSON object",
	} {
		var r recorder
		h := (&Redrive{}).Host(slog.New(slog.DiscardHandler), r.open)
		if _, err := h.Handle(invocation(t, time.Minute), []byte(payload)); err == nil || !strings.Contains(err.Error(), want) || r.opened != 0 {
			t.Errorf("%s: error %v, opened %d times", payload, err, r.opened)
		}
	}
}
