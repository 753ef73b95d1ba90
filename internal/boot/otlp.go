package boot

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// exporter sends spans over OTLP/HTTP in its JSON encoding, which every receiver of OTLP/HTTP takes
// (https://opentelemetry.io/docs/specs/otlp/#otlphttp). The exporter of the OpenTelemetry project would make the
// function 9.5 MB larger, by two thirds, since it links gRPC and protocol buffers for one HTTP request.
//
// A request that fails, or takes longer than timeout, is not repeated, because spans that are kept for another
// attempt would take the relay's memory.
type exporter struct {
	url     string
	headers map[string]string
	timeout time.Duration
	client  *http.Client
}

// ExportSpans implements [sdktrace.SpanExporter] with one request. An answer whose status is not 2xx is a
// statusError.
func (e *exporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	body, err := json.Marshal(encodeSpans(spans))
	if err != nil {
		return fmt.Errorf("encode spans: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, e.timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, e.url, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("send spans: %w", err)
	}
	for name, value := range e.headers {
		request.Header.Set(name, value)
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := e.client.Do(request)
	if err != nil {
		return fmt.Errorf("send spans: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	// Read, so that the connection can be used again.
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, 64<<10))
	if response.StatusCode/100 != 2 {
		return statusError(response.StatusCode)
	}
	return nil
}

// Shutdown implements [sdktrace.SpanExporter]. It closes the idle connections and never fails.
func (e *exporter) Shutdown(context.Context) error {
	e.client.CloseIdleConnections()
	return nil
}

// statusError is the error of an answer whose HTTP status, its value, is not 2xx.
type statusError int

// Error implements error.
func (s statusError) Error() string {
	return "the receiver answered with HTTP status " + strconv.Itoa(int(s))
}

// These types are the Protocol Buffers messages of opentelemetry/proto/trace/v1/trace.proto in their JSON form, with
// the fields that are used. Ids are hexadecimal, and 64-bit integers are strings.
type (
	otlpRequest struct {
		ResourceSpans []otlpResourceSpans `json:"resourceSpans"`
	}
	otlpResourceSpans struct {
		Resource   otlpResource     `json:"resource"`
		ScopeSpans []otlpScopeSpans `json:"scopeSpans"`
	}
	otlpResource struct {
		Attributes []otlpAttribute `json:"attributes"`
	}
	otlpScopeSpans struct {
		Scope otlpScope  `json:"scope"`
		Spans []otlpSpan `json:"spans"`
	}
	otlpScope struct {
		Name string `json:"name"`
	}
	otlpSpan struct {
		TraceID    string          `json:"traceId"`
		SpanID     string          `json:"spanId"`
		Flags      uint32          `json:"flags"`
		Name       string          `json:"name"`
		Kind       int             `json:"kind"`
		Start      string          `json:"startTimeUnixNano"`
		End        string          `json:"endTimeUnixNano"`
		Attributes []otlpAttribute `json:"attributes,omitempty"`
		Events     []otlpEvent     `json:"events,omitempty"`
		Links      []otlpLink      `json:"links,omitempty"`
		Status     otlpStatus      `json:"status"`
	}
	otlpEvent struct {
		Time       string          `json:"timeUnixNano"`
		Name       string          `json:"name"`
		Attributes []otlpAttribute `json:"attributes,omitempty"`
	}
	otlpLink struct {
		TraceID    string          `json:"traceId"`
		SpanID     string          `json:"spanId"`
		Flags      uint32          `json:"flags"`
		Attributes []otlpAttribute `json:"attributes,omitempty"`
	}
	otlpStatus struct {
		Message string `json:"message,omitempty"`
		Code    int    `json:"code,omitempty"`
	}
	otlpAttribute struct {
		Key   string    `json:"key"`
		Value otlpValue `json:"value"`
	}
	otlpValue struct {
		String *string `json:"stringValue,omitempty"`
		Int    *string `json:"intValue,omitempty"`
	}
)

// encodeSpans returns the request that sends the spans. Its resource and its scope are those of the first span, because
// all spans of this process have the same.
func encodeSpans(spans []sdktrace.ReadOnlySpan) otlpRequest {
	var of otlpResourceSpans
	scope := otlpScopeSpans{Spans: make([]otlpSpan, 0, len(spans))}
	for i, s := range spans {
		if i == 0 {
			of.Resource.Attributes = attributes(s.Resource().Attributes())
			scope.Scope.Name = s.InstrumentationScope().Name
		}
		scope.Spans = append(scope.Spans, encodeSpan(s))
	}
	of.ScopeSpans = []otlpScopeSpans{scope}
	return otlpRequest{ResourceSpans: []otlpResourceSpans{of}}
}

// encodeSpan returns a span in the form of trace.proto. A status other than Error is left out.
func encodeSpan(s sdktrace.ReadOnlySpan) otlpSpan {
	self := s.SpanContext()
	encoded := otlpSpan{
		TraceID: self.TraceID().String(), SpanID: self.SpanID().String(), Flags: uint32(self.TraceFlags()),
		Name: s.Name(), Kind: kind(s.SpanKind()), Start: nanoseconds(s.StartTime()), End: nanoseconds(s.EndTime()),
		Attributes: attributes(s.Attributes()),
	}
	for _, e := range s.Events() {
		encoded.Events = append(encoded.Events, otlpEvent{Time: nanoseconds(e.Time), Name: e.Name, Attributes: attributes(e.Attributes)})
	}
	for _, l := range s.Links() {
		encoded.Links = append(encoded.Links, otlpLink{
			TraceID: l.SpanContext.TraceID().String(), SpanID: l.SpanContext.SpanID().String(),
			Flags: uint32(l.SpanContext.TraceFlags()), Attributes: attributes(l.Attributes),
		})
	}
	if status := s.Status(); status.Code == codes.Error {
		encoded.Status = otlpStatus{Message: status.Description, Code: 2}
	}
	return encoded
}

// kind returns the number of a span kind in trace.proto, which numbers the kinds in another
// order than OpenTelemetry's API.
func kind(k trace.SpanKind) int {
	switch k {
	case trace.SpanKindServer:
		return 2
	case trace.SpanKindClient:
		return 3
	case trace.SpanKindProducer:
		return 4
	case trace.SpanKindConsumer:
		return 5
	case trace.SpanKindUnspecified, trace.SpanKindInternal:
	}
	return 1
}

// attributes returns attributes in the form of trace.proto: an integer as an integer, every other value as text.
func attributes(all []attribute.KeyValue) []otlpAttribute {
	encoded := make([]otlpAttribute, len(all))
	for i, a := range all {
		text := a.Value.String()
		encoded[i].Key = string(a.Key)
		if a.Value.Type() == attribute.INT64 {
			encoded[i].Value.Int = &text
			continue
		}
		encoded[i].Value.String = &text
	}
	return encoded
}

// nanoseconds returns t as decimal nanoseconds since 1970.
func nanoseconds(t time.Time) string { return strconv.FormatInt(t.UnixNano(), 10) }
