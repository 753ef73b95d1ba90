package boot

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/serverless-outbox/serverless-outbox/internal/tracing"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

// flushTimeout is the longest time that an invocation waits for its last spans to be sent. It is less than the
// second that minMargin adds to the longest end of a run.
const flushTimeout = 800 * time.Millisecond

// Tracing is the configuration of OpenTelemetry spans: where to send them, and how. Its variables are those of
// OpenTelemetry's specification. The SDK reads others itself: the resource, the sampler and the limits of a span.
type Tracing struct {
	OTLPEndpoint       string      `env:"OTEL_EXPORTER_OTLP_ENDPOINT"`
	OTLPTracesEndpoint string      `env:"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"`
	OTLPHeaders        OTLPHeaders `env:"OTEL_EXPORTER_OTLP_HEADERS"`
	OTLPTracesHeaders  OTLPHeaders `env:"OTEL_EXPORTER_OTLP_TRACES_HEADERS"`
	OTLPTimeoutMS      int32       `env:"OTEL_EXPORTER_OTLP_TIMEOUT"`
	OTLPProtocol       string      `env:"OTEL_EXPORTER_OTLP_PROTOCOL"`
	TracesExporter     string      `env:"OTEL_TRACES_EXPORTER"`
	SDKDisabled        bool        `env:"OTEL_SDK_DISABLED"`
}

// enabled reports whether spans are made: there is an endpoint, and neither the SDK nor the exporter is switched off.
func (t *Tracing) enabled() bool {
	return !t.SDKDisabled && t.TracesExporter != "none" && (t.OTLPEndpoint != "" || t.OTLPTracesEndpoint != "")
}

// Validate returns the faults of the endpoints, the protocol and the timeout, each with the name of its variable.
// Where no spans are made there are none.
func (t *Tracing) Validate() []error {
	if !t.enabled() {
		return nil
	}
	var faults []error
	for name, endpoint := range map[string]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT": t.OTLPEndpoint, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": t.OTLPTracesEndpoint,
	} {
		u, err := url.Parse(endpoint)
		if endpoint != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https") {
			faults = append(faults, fmt.Errorf("%s: is not a URL: set it to the form http://localhost:4318", name))
		}
	}
	if t.OTLPProtocol == "grpc" {
		faults = append(faults, errors.New("OTEL_EXPORTER_OTLP_PROTOCOL: grpc is not spoken: use the receiver's port for HTTP, mostly 4318, and set http/json"))
	}
	if t.OTLPTimeoutMS < 1 {
		faults = append(faults, fmt.Errorf("OTEL_EXPORTER_OTLP_TIMEOUT: must be above 0, is %d", t.OTLPTimeoutMS))
	}
	return faults
}

// exporter returns an exporter to the configured endpoint. Settings for traces (OTLPTracesEndpoint,
// OTLPTracesHeaders) take the place of those for all signals. It connects to nothing.
func (t *Tracing) exporter() *exporter {
	target := t.OTLPTracesEndpoint
	if target == "" {
		target = strings.TrimRight(t.OTLPEndpoint, "/") + "/v1/traces"
	}
	headers := t.OTLPTracesHeaders
	if len(headers) == 0 {
		headers = t.OTLPHeaders
	}
	return &exporter{url: target, headers: headers, timeout: time.Duration(t.OTLPTimeoutMS) * time.Millisecond, client: &http.Client{
		Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: 1, IdleConnTimeout: 30 * time.Second},
	}}
}

// OTLPHeaders are HTTP headers by name. In a variable they have the form name=value,name=value, with values escaped as
// in a URL.
type OTLPHeaders map[string]string

// UnmarshalText implements [encoding.TextUnmarshaler] for the form name=value,name=value. Its error quotes no
// part of the text, because headers have keys in them.
func (h *OTLPHeaders) UnmarshalText(text []byte) error {
	all := OTLPHeaders{}
	for pair := range strings.SplitSeq(string(text), ",") {
		name, value, ok := strings.Cut(pair, "=")
		name = strings.TrimSpace(name)
		value, err := url.PathUnescape(strings.TrimSpace(value))
		if !ok || err != nil || name == "" || strings.ContainsAny(name, " \t\r\n:") || strings.ContainsAny(value, "\r\n\x00") {
			return errors.New("is not of the form name=value,name=value")
		}
		all[name] = value
	}
	*h = all
	return nil
}

// Traces makes the spans of a process and sends them during invocations. The methods of a nil Traces do nothing.
type Traces struct {
	provider *sdktrace.TracerProvider
	gate     *gate
	// ctx is the context of Open without its end, for Close, which is called without a context.
	ctx context.Context //nolint:containedctx // for Close
}

// Open returns the Traces of the function with the name service, or nil when no spans are made. It connects to
// nothing, so that a receiver that is down does not stop the relay. Spans that cannot be sent are lost, which is
// logged. It sets the logger and the error handler of OpenTelemetry for the whole process.
func (t *Tracing) Open(ctx context.Context, service string, logger *slog.Logger) *Traces {
	if !t.enabled() {
		return nil
	}
	// The SDK's own log would quote variables that it cannot read.
	otel.SetLogger(logr.Discard())
	quiet := context.WithoutCancel(ctx)
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		logger.LogAttrs(quiet, slog.LevelWarn, "spans are lost", slog.String("error", exportError(err)))
	}))
	return newTraces(ctx, t.exporter(), service)
}

// newTraces returns the Traces of the function with the name service, which sends spans through the exporter
// during invocations. A resource that cannot be made of the environment is replaced by the SDK's default.
func newTraces(ctx context.Context, exporter sdktrace.SpanExporter, service string) *Traces {
	about, err := resource.New(ctx,
		resource.WithTelemetrySDK(),
		resource.WithAttributes(attribute.String("service.name", service), attribute.String("faas.name", service), attribute.String("cloud.provider", "aws")),
		resource.WithFromEnv())
	if err != nil {
		about = resource.Default()
	}
	g := &gate{SpanExporter: exporter}
	return &Traces{ctx: context.WithoutCancel(ctx), gate: g, provider: sdktrace.NewTracerProvider(sdktrace.WithBatcher(g), sdktrace.WithResource(about))}
}

// exportError returns why spans are lost. It does not quote err, which has the URL of the receiver, and that may have a
// key in it.
func exportError(err error) string {
	if status, ok := errors.AsType[statusError](err); ok {
		return status.Error()
	}
	if errors.Is(err, errGateClosed) {
		return errGateClosed.Error()
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "the receiver did not answer in time"
	}
	if errors.Is(err, context.Canceled) {
		return "the invocation ended first"
	}
	if call, ok := errors.AsType[*net.OpError](err); ok {
		return "the receiver cannot be reached: " + call.Op
	}
	return "the receiver cannot be reached"
}

// Wrap replaces each sink in sinks by one that makes a span of each call with an event of a sampled trace.
// destinations has the configuration of each sink under the same name. When t is nil Wrap changes nothing.
func (t *Traces) Wrap(sinks map[string]relay.Destination, destinations Destinations) {
	if t == nil {
		return
	}
	tracer := t.provider.Tracer("github.com/serverless-outbox/serverless-outbox/internal/tracing")
	for name, d := range sinks {
		d.Sink = tracing.Sink(d.Sink, tracer, target(name, destinations[name]))
		sinks[name] = d
	}
}

// target returns what spans say about the destination d, whose name is name.
func target(name string, d Destination) tracing.Target {
	if d.TopicARN != "" {
		return tracing.Target{Destination: name, System: tracing.SNS, Name: d.TopicARN[strings.LastIndex(d.TopicARN, ":")+1:]}
	}
	return tracing.Target{Destination: name, System: tracing.SQS, Name: path.Base(d.QueueURL)}
}

// Begin lets spans be sent until End. ctx is the context of the invocation.
func (t *Traces) Begin(ctx context.Context) {
	if t != nil {
		t.gate.open(ctx)
	}
}

// End sends the spans that were not sent yet, for flushTimeout at most and not after ctx ended; what was not sent
// by then is lost. No request with spans is under way when End returns.
func (t *Traces) End(ctx context.Context) {
	if t == nil {
		return
	}
	flushing, cancel := context.WithTimeout(ctx, flushTimeout)
	defer cancel()
	if err := t.provider.ForceFlush(flushing); err != nil {
		otel.Handle(err)
	}
	t.gate.close()
}

// Close shuts the SDK and the exporter down, for flushTimeout at most. It must be called between invocations, so
// spans that are left are lost.
func (t *Traces) Close() {
	if t == nil {
		return
	}
	closing, cancel := context.WithTimeout(t.ctx, flushTimeout)
	defer cancel()
	if err := t.provider.Shutdown(closing); err != nil {
		otel.Handle(err)
	}
}

// errGateClosed is the error of an export outside an invocation, whose spans are lost.
var errGateClosed = errors.New("no invocation is running")

// gate is an exporter that sends during invocations only. Lambda freezes the process between invocations, so a
// request that outlived its invocation would stop halfway and go on minutes later.
type gate struct {
	sdktrace.SpanExporter

	mu sync.Mutex
	// ctx has the values of the invocation's context and ends with the invocation; nil outside of an invocation.
	ctx    context.Context    //nolint:containedctx // of the invocation, which background calls belong to
	cancel context.CancelFunc // ends the calls of the invocation
	calls  sync.WaitGroup     // the calls under way
}

// open lets calls of the exporter start, until close. ctx is the context of the invocation, whose values the
// calls have and whose end does not end them.
func (g *gate) open(ctx context.Context) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ctx, g.cancel = context.WithCancel(context.WithoutCancel(ctx))
}

// close cancels the calls under way and waits until they have ended. No call starts until the next open.
func (g *gate) close() {
	g.mu.Lock()
	if g.cancel != nil {
		g.cancel()
	}
	g.ctx, g.cancel = nil, nil
	g.mu.Unlock()
	g.calls.Wait()
}

// enter adds a call to g.calls and returns the context of the invocation. Outside an invocation it returns nil and
// adds none.
func (g *gate) enter() context.Context {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ctx != nil {
		g.calls.Add(1)
	}
	return g.ctx
}

// ExportSpans implements [sdktrace.SpanExporter]. close cancels it. Outside of an invocation it fails with errGateClosed.
func (g *gate) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	running := g.enter()
	if running == nil {
		return errGateClosed
	}
	defer g.calls.Done()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(running, cancel)()    //nolint:contextcheck // both contexts end the call
	return g.SpanExporter.ExportSpans(ctx, spans) //nolint:wrapcheck // a wrapper of the same interface
}
