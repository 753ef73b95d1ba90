package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/lambdacontext"

	"github.com/serverless-outbox/serverless-outbox/internal/redrive"
)

// recorder is an environment that remembers what it was asked.
type recorder struct {
	opened, closed    int
	failOpen, failRun error
	requestID         string
	req               redrive.Request
	until             time.Time
}

func (r *recorder) open(context.Context) (environment, error) {
	r.opened++
	if r.failOpen != nil {
		return nil, r.failOpen
	}
	return r, nil
}

func (r *recorder) Run(_ context.Context, requestID string, req redrive.Request, until time.Time) (redrive.Answer, error) {
	r.requestID, r.req, r.until = requestID, req, until
	return redrive.Answer{Action: req.Action, Source: req.Source, Redriven: 7}, r.failRun
}

func (r *recorder) Close() { r.closed++ }

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
	h := newHandler(slog.New(slog.NewJSONHandler(&log, nil)), 12*time.Second, r.open)
	ctx := invocation(t, time.Minute)
	answer, err := h.Handle(ctx, []byte(`{"source":"dlq","queue":"orders-dlq.fifo"}`))
	if err != nil || answer.Redriven != 7 {
		t.Fatalf("answer %+v, error %v", answer, err)
	}
	deadline, _ := ctx.Deadline()
	if !r.until.Equal(deadline.Add(-12*time.Second)) || r.requestID != "request-1" || r.req.Queue != "orders-dlq.fifo" {
		t.Errorf("got %+v", r)
	}
	if !strings.Contains(log.String(), `"redriven":7`) {
		t.Errorf("log %s", log.String())
	}
	if _, err = h.Handle(ctx, []byte(`{"source":"blocked"}`)); err != nil || r.opened != 1 {
		t.Errorf("opened %d times, error %v", r.opened, err)
	}
	h.close()
	if r.closed != 1 {
		t.Error("it was not closed")
	}
}

func TestARequestThatIsWrongOpensNothing(t *testing.T) {
	t.Parallel()
	for payload, want := range map[string]string{
		`{"sauce":"dlq"}`: "sauce: is not a field",
		`{}`:              "source: is missing",
		``:                "one JSON object",
	} {
		var r recorder
		h := newHandler(slog.New(slog.DiscardHandler), time.Second, r.open)
		if _, err := h.Handle(invocation(t, time.Minute), []byte(payload)); err == nil || !strings.Contains(err.Error(), want) || r.opened != 0 {
			t.Errorf("%s: error %v, opened %d times", payload, err, r.opened)
		}
	}
}

func TestATimeoutBelowTheMarginIsNamed(t *testing.T) {
	t.Parallel()
	var r recorder
	h := newHandler(slog.New(slog.DiscardHandler), 12*time.Second, r.open)
	if _, err := h.Handle(invocation(t, 3*time.Second), []byte(`{"source":"dlq"}`)); err == nil || !strings.Contains(err.Error(), "OUTBOX_REDRIVE_MARGIN") {
		t.Errorf("error %v", err)
	}
	if _, err := h.Handle(t.Context(), []byte(`{"source":"dlq"}`)); err == nil {
		t.Error("an invocation without a deadline ran")
	}
}

func TestAnEnvironmentThatFailedIsMadeAnew(t *testing.T) {
	t.Parallel()
	r := recorder{failOpen: errors.New("no network")}
	h := newHandler(slog.New(slog.DiscardHandler), time.Second, r.open)
	request := []byte(`{"source":"dlq"}`)
	if _, err := h.Handle(invocation(t, time.Minute), request); !errors.Is(err, r.failOpen) {
		t.Fatalf("error %v", err)
	}
	r.failOpen, r.failRun = nil, errors.New("broken")
	if _, err := h.Handle(invocation(t, time.Minute), request); !errors.Is(err, r.failRun) || r.closed != 1 {
		t.Fatalf("error %v, closed %d times", err, r.closed)
	}
	r.failRun = nil
	if _, err := h.Handle(invocation(t, time.Minute), request); err != nil || r.opened != 3 {
		t.Errorf("error %v, opened %d times", err, r.opened)
	}
}
