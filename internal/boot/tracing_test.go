package boot

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"go.opentelemetry.io/otel/trace"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/memory"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

// receiver takes spans over OTLP/HTTP.
type receiver struct {
	*httptest.Server

	mu       sync.Mutex
	requests []*http.Request
	bodies   [][]byte
}

func newReceiver(t *testing.T, status int) *receiver {
	t.Helper()
	r := &receiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		body, err := io.ReadAll(request.Body)
		if err != nil {
			t.Errorf("read: %v", err)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.requests, r.bodies = append(r.requests, request), append(r.bodies, body)
		w.WriteHeader(status)
	}))
	t.Cleanup(r.Close)
	return r
}

// spans are those that came, as the protocol has them.
func (r *receiver) spans(t *testing.T) []map[string]any {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []map[string]any
	for _, body := range r.bodies {
		var message struct {
			ResourceSpans []struct {
				ScopeSpans []struct{ Spans []map[string]any }
			}
		}
		if err := json.Unmarshal(body, &message); err != nil {
			t.Fatalf("%v: %s", err, body)
		}
		for _, of := range message.ResourceSpans {
			for _, scope := range of.ScopeSpans {
				all = append(all, scope.Spans...)
			}
		}
	}
	return all
}

func tracer(t *testing.T, more ...string) *Tracing {
	t.Helper()
	r, err := Parse[Relay](environ(more...))
	if err != nil {
		t.Fatal(err)
	}
	return &r.Tracing
}

const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

// publish sends a traced event through the sinks of a process.
func publish(t *testing.T, traces *Traces) {
	t.Helper()
	sinks := map[string]relay.Destination{"default": {Sink: &memory.Broker{}}}
	traces.Wrap(sinks, Destinations{"default": {QueueURL: "https://sqs.eu-west-1.amazonaws.com/1/orders.fifo"}})
	got := sinks["default"].Sink.Publish(t.Context(), []outbox.Message{{
		GroupID: "order:1", DeduplicationID: "1", Body: "{}", Attributes: []outbox.Attribute{
			{Name: outbox.AttributeEventID, Value: "0190b8a0-0000-7000-8000-000000000001"}, {Name: outbox.AttributeTraceparent, Value: parent},
		},
	}})
	if len(got) != 1 || got[0].Class != outbox.Accepted {
		t.Errorf("results %+v", got)
	}
}

func TestSpansReachTheReceiver(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, http.StatusOK)
	traces := tracer(t, "OTEL_EXPORTER_OTLP_ENDPOINT", r.URL+"/", "OTEL_EXPORTER_OTLP_HEADERS", "api-key=a%20b, tenant=1").
		Open(t.Context(), "relay", slog.New(slog.DiscardHandler))
	defer traces.Close()
	traces.Begin(t.Context())
	publish(t, traces)
	traces.End(t.Context())

	spans := r.spans(t)
	if len(spans) != 1 {
		t.Fatalf("%d spans in %s", len(spans), r.bodies)
	}
	s := spans[0]
	if s["name"] != "send orders.fifo" || s["kind"] != float64(3) || len(s["traceId"].(string)) != 32 || len(s["spanId"].(string)) != 16 { //nolint:errcheck // a panic is a failure
		t.Errorf("span %v", s)
	}
	for _, key := range []string{"startTimeUnixNano", "endTimeUnixNano"} {
		if text, ok := s[key].(string); !ok || len(text) != 19 {
			t.Errorf("%s is %v, want nanoseconds as a text", key, s[key])
		}
	}
	whole := string(r.bodies[0])
	for _, want := range []string{
		`"links":[{"traceId":"0af7651916cd43dd8448eb211c80319c","spanId":"b7ad6b7169203331","flags":1,"attributes":[{"key":"outbox.event_id","value":{"stringValue":"0190b8a0-0000-7000-8000-000000000001"}}]}]`,
		`{"key":"messaging.batch.message_count","value":{"intValue":"1"}}`,
		`{"key":"messaging.system","value":{"stringValue":"aws_sqs"}}`,
		`{"key":"service.name","value":{"stringValue":"relay"}}`,
	} {
		if !strings.Contains(whole, want) {
			t.Errorf("no %s in %s", want, whole)
		}
	}
	request := r.requests[0]
	if request.URL.Path != "/v1/traces" || request.Header.Get("Content-Type") != "application/json" ||
		request.Header.Get("Api-Key") != "a b" || request.Header.Get("Tenant") != "1" {
		t.Errorf("request to %s with %v", request.URL.Path, request.Header)
	}
}

func TestNothingIsSentBetweenInvocations(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, http.StatusOK)
	traces := tracer(t, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", r.URL+"/mine").Open(t.Context(), "relay", slog.New(slog.DiscardHandler))
	traces.Begin(t.Context())
	traces.End(t.Context())
	publish(t, traces)
	traces.Close()
	if spans := r.spans(t); len(spans) != 0 {
		t.Errorf("%d spans came", len(spans))
	}
}

func TestAReceiverThatHangsHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	asked := make(chan struct{}, 10)
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		asked <- struct{}{}
		<-release
	}))
	defer server.Close()
	defer close(release)
	traces := tracer(t, "OTEL_EXPORTER_OTLP_ENDPOINT", server.URL, "OTEL_EXPORTER_OTLP_TIMEOUT", "600000").
		Open(t.Context(), "relay", slog.New(slog.DiscardHandler))
	traces.Begin(t.Context())
	publish(t, traces)
	traces.End(t.Context()) // returns although nobody answers
	select {
	case <-asked:
	default:
		t.Error("the receiver was not asked")
	}
	traces.Close()
}

func TestWhatGoesWrongWithSpansIsSaidWithoutSecrets(t *testing.T) {
	t.Parallel()
	refusing := newReceiver(t, http.StatusForbidden)
	for name, c := range map[string]struct{ endpoint, want string }{
		"refused":     {refusing.URL + "/hush", "HTTP status 403"},
		"unreachable": {"http://user:hush@127.0.0.1:1/hush?key=hush", "cannot be reached"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := tracer(t, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", c.endpoint, "OTEL_EXPORTER_OTLP_HEADERS", "api-key=hush").exporter()
			err := e.ExportSpans(t.Context(), nil)
			if text := exportError(err); err == nil || !strings.Contains(text, c.want) || strings.Contains(text, "hush") {
				t.Errorf("error %v becomes %q, want %q", err, text, c.want)
			}
		})
	}
}

func TestTracingIsOffUnlessThereIsAReceiver(t *testing.T) {
	t.Parallel()
	endpoint := []string{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1"}
	for _, more := range [][]string{nil, append(endpoint, "OTEL_SDK_DISABLED", "true"), append(endpoint, "OTEL_TRACES_EXPORTER", "none")} {
		traces := tracer(t, more...).Open(t.Context(), "relay", slog.New(slog.DiscardHandler))
		if traces != nil {
			t.Errorf("%v: traces are made", more)
		}
		broker := &memory.Broker{}
		sinks := map[string]relay.Destination{"default": {Sink: broker}}
		traces.Wrap(sinks, Destinations{})
		if sinks["default"].Sink != outbox.Sink(broker) {
			t.Errorf("%v: the sink is wrapped", more)
		}
		traces.Begin(t.Context())
		traces.End(t.Context())
		traces.Close()
	}
}

func TestWrongReceiversAreNamedAndKeysAreNot(t *testing.T) {
	t.Parallel()
	for _, c := range [][]string{
		{"OTEL_EXPORTER_OTLP_ENDPOINT", "localhost:4318"},
		{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "ftp://hush"},
		{"OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4317"},
		{"OTEL_EXPORTER_OTLP_HEADERS", "hush"},
		{"OTEL_EXPORTER_OTLP_HEADERS", "api-key=hush\nX: y"},
		{"OTEL_EXPORTER_OTLP_TIMEOUT", "2s"},
		{"OTEL_EXPORTER_OTLP_TIMEOUT", "0", "OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318"},
	} {
		_, err := Parse[Relay](environ(c...))
		if err == nil || !strings.Contains(err.Error(), c[0]) || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: error %v", c[0], err)
		}
	}
}

func TestKindsAreThoseOfTheProtocol(t *testing.T) {
	t.Parallel()
	// enum SpanKind of trace.proto.
	for k, want := range map[trace.SpanKind]int{
		trace.SpanKindInternal: 1, trace.SpanKindServer: 2, trace.SpanKindClient: 3, trace.SpanKindProducer: 4, trace.SpanKindConsumer: 5,
	} {
		if got := kind(k); got != want {
			t.Errorf("%v: %d, want %d", k, got, want)
		}
	}
}
