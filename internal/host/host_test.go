package host_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/lambdacontext"

	"github.com/serverless-outbox/serverless-outbox/internal/host"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/memory"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

// world is an environment that does as its fields say.
type world struct {
	opened, closed, thawed int
	failOpen               error
	failRun                error
	calls                  []host.Call[string]
}

func (w *world) open(context.Context) (host.Environment[string, string], error) {
	if w.failOpen != nil {
		return nil, w.failOpen
	}
	w.opened++
	return w, nil
}

func (w *world) Thaw() { w.thawed++ }

func (w *world) Run(_ context.Context, call host.Call[string]) (string, error) {
	if w.thawed != len(w.calls)+1 {
		return "", errors.New("it is frozen")
	}
	w.calls = append(w.calls, call)
	return "answer to " + call.Request, w.failRun
}

func (w *world) Close() { w.closed++ }

var errEmpty = errors.New("the request is empty")

// newHost returns a host whose request is the payload, which must not be empty.
func newHost(out *bytes.Buffer, margin time.Duration, w *world) *host.Host[string, string] {
	return host.New(host.Config[string, string]{
		Name: "test", Logger: slog.New(slog.NewJSONHandler(out, nil)), Margin: margin, MarginVariable: "THE_MARGIN", Open: w.open,
		Parse: func(payload json.RawMessage) (string, error) {
			if len(payload) == 0 {
				return "", errEmpty
			}
			return string(payload), nil
		},
		Attrs: func(answer string) []slog.Attr { return []slog.Attr{slog.String("answer", answer)} },
	})
}

func invocation(t *testing.T, id string, timeout time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(lambdacontext.NewContext(t.Context(), &lambdacontext.LambdaContext{AwsRequestID: id}), timeout)
	t.Cleanup(cancel)
	return ctx
}

func TestRunsUntilTheMarginUnderTheNameOfTheRequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		w := &world{}
		h := newHost(&out, 8*time.Second, w)
		start := time.Now()
		answer, err := h.Handle(invocation(t, "r-1", 3*time.Minute), []byte("this"))
		if err != nil || answer != "answer to this" {
			t.Fatalf("answer %q, error %v", answer, err)
		}
		if want := (host.Call[string]{RequestID: "r-1", Until: start.Add(3*time.Minute - 8*time.Second), Request: "this"}); w.calls[0] != want {
			t.Errorf("call %+v, want %+v", w.calls[0], want)
		}
		if !strings.Contains(out.String(), `"msg":"test ended"`) || !strings.Contains(out.String(), `"answer":"answer to this"`) {
			t.Errorf("log %s", out.String())
		}
	})
}

func TestARequestThatIsWrongOpensAndClosesNothing(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	w := &world{}
	h := newHost(&out, time.Second, w)
	for _, opened := range []int{0, 1} {
		if _, err := h.Handle(invocation(t, "r", time.Minute), nil); !errors.Is(err, errEmpty) || w.opened != opened || w.closed != 0 {
			t.Errorf("error %v, opened %d times, closed %d times", err, w.opened, w.closed)
		}
		if _, err := h.Handle(invocation(t, "r", time.Minute), []byte("{}")); err != nil {
			t.Fatal(err)
		}
	}
	if !strings.Contains(out.String(), errEmpty.Error()) {
		t.Errorf("log %s", out.String())
	}
}

func TestTheEnvironmentIsMadeOnceAndKept(t *testing.T) {
	t.Parallel()
	w := &world{}
	h := newHost(&bytes.Buffer{}, time.Second, w)
	h.Prepare(t.Context())
	for range 3 {
		if _, err := h.Handle(invocation(t, "r", time.Minute), []byte("{}")); err != nil {
			t.Fatal(err)
		}
	}
	if w.opened != 1 || w.closed != 0 {
		t.Errorf("opened %d times, closed %d times", w.opened, w.closed)
	}
	h.Close()
	h.Close()
	if w.closed != 1 {
		t.Errorf("closed %d times", w.closed)
	}
}

func TestAFailedStartIsTheErrorOfTheInvocationAndTriedAgain(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	w := &world{failOpen: errors.New("the database cannot be reached")}
	h := newHost(&out, time.Second, w)
	h.Prepare(t.Context())
	if _, err := h.Handle(invocation(t, "r", time.Minute), []byte("{}")); !errors.Is(err, w.failOpen) {
		t.Fatalf("error %v", err)
	}
	if n := strings.Count(out.String(), "cannot be reached"); n != 1 {
		t.Errorf("logged %d times:\n%s", n, out.String())
	}
	w.failOpen = nil
	if _, err := h.Handle(invocation(t, "r", time.Minute), []byte("{}")); err != nil {
		t.Errorf("after the repair: %v", err)
	}
}

func TestAnEnvironmentThatFailedIsMadeAnew(t *testing.T) {
	t.Parallel()
	w := &world{failRun: errors.New("broken")}
	h := newHost(&bytes.Buffer{}, time.Second, w)
	if _, err := h.Handle(invocation(t, "r", time.Minute), []byte("{}")); !errors.Is(err, w.failRun) {
		t.Fatalf("error %v", err)
	}
	w.failRun = nil
	if _, err := h.Handle(invocation(t, "r", time.Minute), []byte("{}")); err != nil {
		t.Fatal(err)
	}
	if w.opened != 2 || w.closed != 1 {
		t.Errorf("opened %d times, closed %d times", w.opened, w.closed)
	}
}

func TestATimeoutBelowTheMarginIsNamed(t *testing.T) {
	t.Parallel()
	w := &world{}
	h := newHost(&bytes.Buffer{}, 8*time.Second, w)
	_, err := h.Handle(invocation(t, "r", 3*time.Second), []byte("{}"))
	if err == nil || !strings.Contains(err.Error(), "THE_MARGIN") {
		t.Errorf("error %v", err)
	}
	if _, err = h.Handle(t.Context(), []byte("{}")); err == nil {
		t.Error("an invocation without a deadline ran")
	}
	if w.opened != 0 {
		t.Error("it was opened for nothing")
	}
}

// inMemory runs the real engine.
type inMemory struct{ store *memory.Store }

func (inMemory) Thaw() {}

func (e inMemory) Run(ctx context.Context, call host.Call[host.None]) (relay.Summary, error) {
	r, err := relay.New(e.store, relay.Config{
		Name: call.RequestID, Destinations: map[string]relay.Destination{"default": {Sink: &memory.Broker{}}}, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return relay.Summary{}, err
	}
	return r.Run(ctx, call.Until)
}

func (inMemory) Close() {}

func TestNothingRunsAfterTheHandlerReturned(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // fails when a goroutine is left
		h := host.New(host.Config[host.None, relay.Summary]{
			Name: "relay", Logger: slog.New(slog.DiscardHandler), Margin: 8 * time.Second,
			Open: func(context.Context) (host.Environment[host.None, relay.Summary], error) {
				return inMemory{memory.NewStore()}, nil
			},
			Attrs: func(relay.Summary) []slog.Attr { return nil },
		})
		start := time.Now()
		summary, err := h.Handle(invocation(t, "r", time.Minute), nil)
		if err != nil || summary.Outcome != relay.Deadline {
			t.Fatalf("summary %+v, error %v", summary, err)
		}
		if took := time.Since(start); took > time.Minute-time.Second {
			t.Errorf("returned after %v of a minute", took)
		}
		h.Close()
	})
}
