package wire

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptrace"
	"reflect"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/smithy-go/metrics"
	"github.com/aws/smithy-go/middleware"
	"github.com/aws/smithy-go/tracing"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/google/uuid"
)

// Direct makes calls past the SDK's middleware stack, which is built anew for
// each call and costs as much as all else of it. What the stack would do is the
// SDK's still: the request is a copy of one that the stack made at most
// modelFor ago, with the body and an invocation id of its own; credentials,
// signer and HTTP client are those of the SDK's client; and every answer but the
// plain one of a success is read by the stack, as are failures.
//
// It is safe for concurrent use.
type Direct struct {
	settings Settings
	model    atomic.Pointer[model]
}

// Settings are those of an SDK client, as its Options have them.
type Settings struct {
	Credentials aws.CredentialsProvider
	Signer      Signer
	HTTPClient  HTTPClient
	Retryer     aws.Retryer
	// Checksums says whether the checksums of SQS are compared.
	Checksums bool
	// What follows is for whom a user has hooked into the client.
	APIOptions    []func(*middleware.Stack) error
	Interceptors  smithyhttp.InterceptorRegistry
	ClientLogMode aws.ClientLogMode
	Tracers       tracing.TracerProvider
	Meters        metrics.MeterProvider
}

// Signer is the part of the SDK's signer that is needed.
type Signer interface {
	SignHTTP(ctx context.Context, credentials aws.Credentials, r *http.Request, payloadHash, service, region string, at time.Time, options ...func(*v4.SignerOptions)) error
}

// HTTPClient sends a request as [http.Client] does.
type HTTPClient interface {
	Do(r *http.Request) (*http.Response, error)
}

// NewDirect returns nil when the client does something that the direct way would
// not: retries, or what a user has hooked in.
func NewDirect(s Settings) *Direct {
	_, once := s.Retryer.(aws.NopRetryer)
	_, untraced := s.Tracers.(*tracing.NopTracerProvider)
	_, unmetered := s.Meters.(metrics.NopMeterProvider)
	known := s.Credentials != nil && s.Signer != nil && s.HTTPClient != nil
	if !known || !once || !untraced || !unmetered || s.ClientLogMode != 0 || len(s.APIOptions) > 0 || intercepted(s.Interceptors) {
		return nil
	}
	return &Direct{settings: s}
}

// intercepted says whether there is any interceptor, of whatever kind.
func intercepted(r smithyhttp.InterceptorRegistry) bool {
	for _, kind := range reflect.ValueOf(r).Fields() {
		if kind.Len() > 0 {
			return true
		}
	}
	return false
}

// Call makes the call and says whether it has: then Decode has read the answer.
// Otherwise the SDK is to make it, with x installed. Nothing was sent then, or x
// has what came of it, and the SDK makes of that what it makes of its own.
//
// d may be nil.
func (d *Direct) Call(ctx context.Context, x *Exchange) bool {
	if d == nil {
		return false
	}
	x.model = d
	m := d.fresh()
	if m == nil {
		return false
	}
	credentials, err := d.settings.Credentials.Retrieve(ctx)
	if err != nil || !credentials.HasKeys() {
		return false
	}
	x.request = take()
	x.request.bytes = x.Encode(x.request.bytes)
	// The transport may read on behind the end of a call that was canceled.
	x.writing = new(atomic.Bool)
	x.writing.Store(true)
	request := m.request(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		WroteRequest: func(httptrace.WroteRequestInfo) { x.writing.Store(false) },
	}), x.request.bytes, uuid.NewString())
	sum := sha256.Sum256(x.request.bytes)
	if err = d.settings.Signer.SignHTTP(ctx, credentials, request, hex.EncodeToString(sum[:]), m.service, m.region, m.now()); err != nil {
		return false
	}
	response, err := d.settings.HTTPClient.Do(request)
	if err != nil {
		x.outcome = &outcome{err: err}
		return false
	}
	x.answer = take()
	x.answer.bytes, err = readAll(response, x.answer.bytes)
	if err == nil && response.StatusCode == http.StatusOK {
		x.Checksums = d.settings.Checksums
		if x.Decode(x.answer.bytes) {
			_ = response.Body.Close() // read to its end
			return true
		}
	}
	// Whatever the SDK may learn from the answer, its next request shows it.
	d.model.Store(nil)
	response.Body = &replayed{Reader: io.MultiReader(bytes.NewReader(x.answer.bytes), failing{err}), body: response.Body}
	x.outcome = &outcome{response: response}
	return false
}

// fresh returns the model, nil when the call is to make one. One call at a time
// does where there is an old one.
func (d *Direct) fresh() *model {
	m := d.model.Load()
	if m == nil || time.Since(m.at) < modelFor {
		return m
	}
	extended := *m
	extended.at = time.Now()
	if d.model.CompareAndSwap(m, &extended) {
		return nil
	}
	return m
}

// outcome is what came of a request.
type outcome struct {
	response *http.Response
	err      error
}

// Do implements [HTTPClient] without sending anything.
func (o *outcome) Do(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		_ = r.Body.Close() // as a client that sends it does
	}
	if o.response != nil {
		o.response.Request = r
	}
	return o.response, o.err
}

// failing is the end of a body, of one that was cut with the error.
type failing struct{ err error }

// Read implements [io.Reader].
func (f failing) Read([]byte) (int, error) {
	if f.err == nil {
		return 0, io.EOF
	}
	return 0, f.err
}

// watch is the step that takes the model from a request that the SDK has
// signed.
type watch struct{ *Direct }

// ID implements [middleware.FinalizeMiddleware].
func (watch) ID() string { return "OutboxModel" }

// HandleFinalize implements [middleware.FinalizeMiddleware].
func (w watch) HandleFinalize(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (
	middleware.FinalizeOutput, middleware.Metadata, error,
) {
	var m *model
	if request, ok := in.Request.(*smithyhttp.Request); ok {
		m = w.learn(ctx, request)
	}
	out, metadata, err := next.HandleFinalize(ctx, in)
	if err == nil {
		w.model.Store(m)
	}
	return out, metadata, err //nolint:wrapcheck // a step hands on what the next one says
}
