package tracing

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

// fixed is a sink that answers the same class to every message.
type fixed struct {
	results []outbox.Result
	got     []outbox.Message
	span    trace.SpanContext
}

func (f *fixed) Limits() outbox.Limits {
	return outbox.Limits{Entries: 10, MessageBytes: 1, BatchBytes: 2}
}

func (f *fixed) Publish(ctx context.Context, msgs []outbox.Message) []outbox.Result {
	f.got = msgs
	f.span = trace.SpanContextFromContext(ctx)
	return f.results
}

func accepted(n int) []outbox.Result {
	return slices.Repeat([]outbox.Result{{Class: outbox.Accepted}}, n)
}

type recorder struct {
	*tracetest.InMemoryExporter
	provider *sdktrace.TracerProvider
}

func newRecorder(tb testing.TB) recorder {
	tb.Helper()
	spans := tracetest.NewInMemoryExporter()
	return recorder{spans, sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))}
}

func (r recorder) sink(next outbox.Sink, system string) outbox.Sink {
	return Sink(next, r.provider.Tracer("test"), Target{Destination: "default", System: system, Name: "orders.fifo"})
}

// written is the message of an event that a service wrote within ctx.
func written(tb testing.TB, ctx context.Context, n int) outbox.Message { //nolint:revive // tb comes first
	tb.Helper()
	headers := propagation.MapCarrier{"tenant": "acme"}
	propagation.TraceContext{}.Inject(ctx, headers)
	m, err := outbox.Encode(&outbox.Record{
		Event: outbox.Event{
			EventID: uuid.MustParse(fmt.Sprintf("0190b8a0-0000-7000-8000-%012d", n)), AggregateType: "order", AggregateID: fmt.Sprint(n),
			Type: "order.placed", Destination: "default", Payload: json.RawMessage(`{"card":"hush"}`), Headers: headers,
		},
		ID: int64(n), CreatedAt: time.Unix(0, 0),
	})
	if err != nil {
		tb.Fatal(err)
	}
	return m
}

func attributeOf(attributes []attribute.KeyValue, key attribute.Key) attribute.Value {
	for _, a := range attributes {
		if a.Key == key {
			return a.Value
		}
	}
	return attribute.Value{}
}

func TestACallIsOneSpanLinkedToWhatWroteItsEvents(t *testing.T) {
	t.Parallel()
	r := newRecorder(t)
	first, one := r.provider.Tracer("service").Start(t.Context(), "place order")
	second, two := r.provider.Tracer("service").Start(t.Context(), "pay order")
	msgs := []outbox.Message{written(t, first, 1), written(t, second, 2), written(t, t.Context(), 3)}
	before := fmt.Sprint(msgs)
	next := &fixed{results: accepted(3)}
	results := r.sink(next, SQS).Publish(first, msgs)

	if len(results) != 3 || fmt.Sprint(next.got) != before {
		t.Errorf("results %v, messages %v, want them unchanged", results, next.got)
	}
	spans := r.GetSpans()
	if len(spans) != 1 {
		t.Fatalf("%d spans", len(spans))
	}
	s := spans[0]
	if s.Name != "send orders.fifo" || s.SpanKind != trace.SpanKindClient || s.Parent.IsValid() || s.Status.Code != codes.Unset {
		t.Errorf("span %q, kind %v, parent %v, status %v", s.Name, s.SpanKind, s.Parent, s.Status)
	}
	if next.span.SpanID() != s.SpanContext.SpanID() {
		t.Errorf("the call ran in span %v, want %v", next.span.SpanID(), s.SpanContext.SpanID())
	}
	if len(s.Links) != 2 {
		t.Fatalf("%d links", len(s.Links))
	}
	for i, want := range []trace.SpanContext{one.SpanContext(), two.SpanContext()} {
		l := s.Links[i]
		if l.SpanContext.TraceID() != want.TraceID() || l.SpanContext.SpanID() != want.SpanID() || !l.SpanContext.IsSampled() {
			t.Errorf("link %d leads to %v, want %v", i, l.SpanContext, want)
		}
		if id := attributeOf(l.Attributes, KeyEventID).AsString(); !strings.HasSuffix(id, fmt.Sprint(i+1)) {
			t.Errorf("link %d has event %q", i, id)
		}
	}
	for _, m := range next.got[:2] {
		if parent := value(&m, outbox.AttributeTraceparent); strings.Contains(parent, s.SpanContext.TraceID().String()) {
			t.Errorf("a consumer would continue the relay's trace: %s", parent)
		}
	}
}

// The names are those of the conventions.
func TestAttributesAreThoseOfTheConventions(t *testing.T) {
	t.Parallel()
	for system, want := range map[string][]attribute.KeyValue{
		SQS: {semconv.MessagingSystemAWSSQS, semconv.MessagingOperationName("send")},
		SNS: {semconv.MessagingSystemAWSSNS, semconv.MessagingOperationName("publish")},
	} {
		want = append(want, semconv.MessagingOperationTypeSend, semconv.MessagingDestinationName("orders.fifo"),
			semconv.MessagingBatchMessageCount(1), semconv.ErrorTypeKey.String("throttled"))
		r := newRecorder(t)
		ctx, _ := r.provider.Tracer("service").Start(t.Context(), "place order")
		r.sink(&fixed{results: []outbox.Result{{Class: outbox.Throttled}}}, system).Publish(t.Context(), []outbox.Message{written(t, ctx, 1)})
		s := r.GetSpans()[0]
		for _, a := range want {
			if !slices.Contains(s.Attributes, a) {
				t.Errorf("%s: no %s=%s in %v", system, a.Key, a.Value.String(), s.Attributes)
			}
		}
	}
}

func TestRefusedEventsAreNamedAndTheirTextsAreNot(t *testing.T) {
	t.Parallel()
	r := newRecorder(t)
	ctx, _ := r.provider.Tracer("service").Start(t.Context(), "place order")
	next := &fixed{results: []outbox.Result{
		{Class: outbox.Accepted},
		{Class: outbox.Rejected, Code: "InvalidMessageContents", Err: errors.New("bad: hush")},
	}}
	r.sink(next, SQS).Publish(t.Context(), []outbox.Message{written(t, ctx, 1), written(t, ctx, 2)})
	s := r.GetSpans()[0]
	if s.Status.Code != codes.Error || s.Status.Description != "rejected" || attributeOf(s.Attributes, KeyAccepted).AsInt64() != 1 {
		t.Errorf("status %v, attributes %v", s.Status, s.Attributes)
	}
	if len(s.Events) != 1 || !strings.HasSuffix(attributeOf(s.Events[0].Attributes, KeyEventID).AsString(), "2") ||
		attributeOf(s.Events[0].Attributes, KeyCode).AsString() != "InvalidMessageContents" {
		t.Errorf("events %v", s.Events)
	}
	if all := fmt.Sprintf("%+v", s); strings.Contains(all, "hush") || strings.Contains(all, "acme") {
		t.Errorf("a text or a header is in %s", all)
	}
}

func TestAnAnswerOfAnotherLengthIsNoHarm(t *testing.T) {
	t.Parallel()
	r := newRecorder(t)
	ctx, _ := r.provider.Tracer("service").Start(t.Context(), "place order")
	msgs := []outbox.Message{written(t, ctx, 1)}
	for _, n := range []int{0, 3} {
		results := slices.Repeat([]outbox.Result{{}}, n)
		if got := r.sink(&fixed{results: results}, SQS).Publish(t.Context(), msgs); len(got) != n {
			t.Errorf("%d results, want %d", len(got), n)
		}
	}
}

func TestNothingIsTracedThatNobodySampled(t *testing.T) {
	t.Parallel()
	r := newRecorder(t)
	unsampled := trace.ContextWithSpanContext(t.Context(), trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{1}}))
	broken := written(t, t.Context(), 2)
	broken.Attributes = append(slices.Clone(broken.Attributes), outbox.Attribute{Name: outbox.AttributeTraceparent, Value: "00-nonsense-01"})
	// The caller's own span is not what wrote the events.
	caller, _ := r.provider.Tracer("relay").Start(t.Context(), "caller")
	next := &fixed{results: accepted(3)}
	r.sink(next, SQS).Publish(caller, []outbox.Message{written(t, unsampled, 1), broken, written(t, t.Context(), 3)})
	if spans := r.GetSpans(); len(spans) != 0 || len(next.got) != 3 {
		t.Errorf("%d spans, %d messages sent", len(spans), len(next.got))
	}
}

func TestWithoutATracerThereIsNoDecorator(t *testing.T) {
	t.Parallel()
	next := &fixed{}
	if got := Sink(next, nil, Target{}); got != outbox.Sink(next) {
		t.Errorf("got %T", got)
	}
	if got := newRecorder(t).sink(next, SQS).Limits(); got != next.Limits() {
		t.Errorf("limits %+v", got)
	}
}

func BenchmarkPublish(b *testing.B) {
	provider := sdktrace.NewTracerProvider()
	tracer := provider.Tracer("bench")
	ctx, _ := tracer.Start(b.Context(), "write")
	traced, plain := make([]outbox.Message, 10), make([]outbox.Message, 10)
	for i := range 10 {
		traced[i], plain[i] = written(b, ctx, i), written(b, b.Context(), i)
	}
	next := &fixed{results: accepted(10)}
	for _, c := range []struct {
		name string
		sink outbox.Sink
		msgs []outbox.Message
	}{
		{"without", next, traced},
		{"off", Sink(next, nil, Target{}), traced},
		{"on, events without traces", Sink(next, tracer, Target{}), plain},
		{"on, traced events", Sink(next, tracer, Target{}), traced},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c.sink.Publish(b.Context(), c.msgs)
			}
		})
	}
}
