package wire

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
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

// Direct sends requests past the SDK's middleware stack, which the SDK builds
// anew for each call and which costs as much as all else of a call. A direct
// request has the address and the header of a model: a request that the stack
// has made and signed. The body and the invocation id are its own; credentials,
// signer and HTTP client are those of the SDK's client. Only the plain answer of
// a success is read here. Every other answer, and every failure, is given to the
// stack as what came of its request.
//
// States of the model:
//
//	state   means                               a call is made by    next state
//	none    there is no model, or the last      the stack            proven, if signing a copy of the stack's
//	        answer was not the plain one                             request gives the same signature and the
//	                                                                 call succeeds; else none
//	proven  there is a model, made within the   Direct               old after modelFor; none at an answer that
//	        last modelFor                                            is not the plain one
//	old     there is a model, made before       the stack, for one   as from none, but a call that fails keeps the
//	                                            call; Direct, for    old model for modelFor more
//	                                            others till then
//
// It is safe for concurrent use.
type Direct struct {
	// settings are those of the SDK's client. They do not change.
	settings Settings
	// model is what direct requests are made by, nil in the state none.
	model atomic.Pointer[model]
}

// Settings are the options of an SDK client that a direct call depends on, or that forbid it.
type Settings struct {
	// Credentials, Signer and HTTPClient make the requests. Without one of them NewDirect returns nil.
	Credentials aws.CredentialsProvider
	Signer      v4.HTTPSigner
	HTTPClient  aws.HTTPClient
	// Retryer must be an aws.NopRetryer: with any other, NewDirect returns nil.
	Retryer aws.Retryer
	// Checksums says whether the client compares the checksums of SQS. It is false for SNS.
	Checksums bool
	// APIOptions and the fields below are places in which a program can add steps to the stack or watch it.
	// When one is in use, NewDirect returns nil.
	APIOptions    []func(*middleware.Stack) error
	Interceptors  smithyhttp.InterceptorRegistry
	ClientLogMode aws.ClientLogMode
	Tracers       tracing.TracerProvider
	Meters        metrics.MeterProvider
}

// NewDirect returns a Direct for calls of an SDK client with the options s, in the state none. It returns nil
// when the client does something that a direct call would leave out: retries, traces, meters, logs, or steps
// that a program has added to the stack; and when s lacks credentials, a signer or an HTTP client.
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

// intercepted says whether r has any interceptor, of whatever kind.
func intercepted(r smithyhttp.InterceptorRegistry) bool {
	for _, kind := range reflect.ValueOf(r).Fields() {
		if kind.Len() > 0 {
			return true
		}
	}
	return false
}

// Call makes the call of x, and returns true when the codec of x has read the answer: the entries are then in
// x.Answers, or x.Fault returns the error. When Call returns false, the caller makes the call with the SDK's client,
// which it gives the HTTPClient and the APIOptions of x. The SDK then sends the request if Call has not; otherwise it
// sends nothing, and makes an output or an error of what Call has received. So a request is sent exactly once.
//
// A nil Direct makes no call and returns false.
func (d *Direct) Call(ctx context.Context, x *Exchange) bool {
	if d == nil {
		return false
	}
	x.direct = d
	m := d.fresh()
	if m == nil {
		return false
	}
	request, err := d.request(ctx, m, x)
	if err != nil {
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
		x.checksums = d.settings.Checksums
		if x.decode() {
			_ = response.Body.Close() // read to its end
			return true
		}
	}
	// The stack may learn from this answer, as of a clock that is wrong. The next
	// model is of a request that it makes afterwards.
	d.model.Store(nil)
	response.Body = replay(x.answer.bytes, err, response.Body)
	x.outcome = &outcome{response: response}
	return false
}

// request makes and signs the request of x by the model m, and sends nothing. It may wait for credentials. After an
// error only the request buffer of x has changed. Otherwise x.writing is true until the transport has written the
// request.
func (d *Direct) request(ctx context.Context, m *model, x *Exchange) (*http.Request, error) {
	credentials, err := d.settings.Credentials.Retrieve(ctx)
	if err != nil {
		return nil, err
	}
	if !credentials.HasKeys() {
		return nil, errNoKeys
	}
	x.encode()
	writing := new(atomic.Bool)
	request := m.request(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		WroteRequest: func(httptrace.WroteRequestInfo) { writing.Store(false) },
	}), x.request.bytes, uuid.NewString())
	sum := sha256.Sum256(x.request.bytes)
	if err = d.settings.Signer.SignHTTP(ctx, credentials, request, hex.EncodeToString(sum[:]), m.service, m.region, m.now()); err != nil {
		return nil, err
	}
	writing.Store(true)
	x.writing = writing
	return request, nil
}

// fresh returns the model to make a call by. It returns nil when the stack is to make the call: there is no
// model, or this call is the one to replace an old model. In that case the old model counts as new for other
// calls, for modelFor more.
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

// outcome is an [aws.HTTPClient] for the SDK that sends nothing, and returns what came of a direct request: either
// response or err is nil.
type outcome struct {
	response *http.Response
	err      error
}

// Do returns the outcome, whatever r is. It closes the body of r, and makes r the request of the answer.
func (o *outcome) Do(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		_ = r.Body.Close() // as a client that sends it does
	}
	if o.response != nil {
		o.response.Request = r
	}
	return o.response, o.err
}
