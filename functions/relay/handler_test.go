package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/lambdacontext"

	"github.com/serverless-outbox/serverless-outbox/internal/boot"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/memory"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

// world is an environment that does as it is told.
type world struct {
	opened, closed int
	failOpen       error
	failRun        error
	names          []string
	untils         []time.Time
}

func (w *world) open(context.Context) (environment, error) {
	if w.failOpen != nil {
		return nil, w.failOpen
	}
	w.opened++
	return w, nil
}

func (w *world) Run(_ context.Context, name string, until time.Time) (relay.Summary, error) {
	w.names, w.untils = append(w.names, name), append(w.untils, until)
	return relay.Summary{Outcome: relay.Deadline}, w.failRun
}

func (w *world) Close() { w.closed++ }

func logger(out *bytes.Buffer) *slog.Logger { return (&boot.Process{}).Logger(out) }

func invocation(t *testing.T, id string, timeout time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(lambdacontext.NewContext(t.Context(), &lambdacontext.LambdaContext{AwsRequestID: id}), timeout)
	t.Cleanup(cancel)
	return ctx
}

func TestRunsUntilTheMarginUnderTheNameOfTheRequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &world{}
		h := newHandler(logger(&bytes.Buffer{}), 8*time.Second, w.open)
		start := time.Now()
		summary, err := h.Handle(invocation(t, "r-1", 3*time.Minute), nil)
		if err != nil || summary.Outcome != relay.Deadline {
			t.Fatalf("summary %+v, error %v", summary, err)
		}
		if w.names[0] != "r-1" || w.untils[0] != start.Add(3*time.Minute-8*time.Second) {
			t.Errorf("ran as %q until %v", w.names[0], w.untils[0].Sub(start))
		}
	})
}

func TestTheEnvironmentIsMadeOnceAndKept(t *testing.T) {
	t.Parallel()
	w := &world{}
	h := newHandler(logger(&bytes.Buffer{}), time.Second, w.open)
	h.prepare(t.Context())
	for range 3 {
		if _, err := h.Handle(invocation(t, "r", time.Minute), nil); err != nil {
			t.Fatal(err)
		}
	}
	if w.opened != 1 || w.closed != 0 {
		t.Errorf("opened %d times, closed %d times", w.opened, w.closed)
	}
	h.close()
	h.close()
	if w.closed != 1 {
		t.Errorf("closed %d times", w.closed)
	}
}

func TestAFailedStartIsTheErrorOfTheInvocationAndTriedAgain(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	w := &world{failOpen: errors.New("the database cannot be reached")}
	h := newHandler(logger(&out), time.Second, w.open)
	h.prepare(t.Context())
	if _, err := h.Handle(invocation(t, "r", time.Minute), nil); !errors.Is(err, w.failOpen) {
		t.Fatalf("error %v", err)
	}
	if n := strings.Count(out.String(), "cannot be reached"); n != 1 {
		t.Errorf("logged %d times:\n%s", n, out.String())
	}
	w.failOpen = nil
	if _, err := h.Handle(invocation(t, "r", time.Minute), nil); err != nil {
		t.Errorf("after the repair: %v", err)
	}
}

func TestAnEnvironmentThatFailedIsMadeAnew(t *testing.T) {
	t.Parallel()
	w := &world{failRun: errors.New("broken")}
	h := newHandler(logger(&bytes.Buffer{}), time.Second, w.open)
	if _, err := h.Handle(invocation(t, "r", time.Minute), nil); !errors.Is(err, w.failRun) {
		t.Fatalf("error %v", err)
	}
	w.failRun = nil
	if _, err := h.Handle(invocation(t, "r", time.Minute), nil); err != nil {
		t.Fatal(err)
	}
	if w.opened != 2 || w.closed != 1 {
		t.Errorf("opened %d times, closed %d times", w.opened, w.closed)
	}
}

func TestATimeoutBelowTheMarginIsNamed(t *testing.T) {
	t.Parallel()
	w := &world{}
	h := newHandler(logger(&bytes.Buffer{}), 8*time.Second, w.open)
	_, err := h.Handle(invocation(t, "r", 3*time.Second), nil)
	if err == nil || !strings.Contains(err.Error(), "OUTBOX_MARGIN") {
		t.Errorf("error %v", err)
	}
	if _, err = h.Handle(t.Context(), nil); err == nil {
		t.Error("an invocation without a deadline ran")
	}
	if w.opened != 0 {
		t.Error("it was opened for nothing")
	}
}

// inMemory runs the real engine.
type inMemory struct{ store *memory.Store }

func (e inMemory) Run(ctx context.Context, name string, until time.Time) (relay.Summary, error) {
	r, err := relay.New(e.store, relay.Config{
		Name: name, Destinations: map[string]relay.Destination{"default": {Sink: &memory.Broker{}}}, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return relay.Summary{}, err
	}
	return r.Run(ctx, until)
}

func (inMemory) Close() {}

func TestNothingRunsAfterTheHandlerReturned(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // fails when a goroutine is left
		h := newHandler(logger(&bytes.Buffer{}), 8*time.Second, func(context.Context) (environment, error) {
			return inMemory{memory.NewStore()}, nil
		})
		start := time.Now()
		summary, err := h.Handle(invocation(t, "r", time.Minute), nil)
		if err != nil || summary.Outcome != relay.Deadline {
			t.Fatalf("summary %+v, error %v", summary, err)
		}
		if took := time.Since(start); took > time.Minute-time.Second {
			t.Errorf("returned after %v of a minute", took)
		}
		h.close()
	})
}
