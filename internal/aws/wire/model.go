package wire

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// modelFor is how long direct requests are made by a model until a call goes through the stack to replace it. A
// change of what the stack decides by, such as the endpoint, the difference of the clocks or the trace of the
// Lambda invocation, is followed when such a call has succeeded.
const modelFor = time.Second

// Headers that differ from request to request.
const (
	headerAuthorization = "Authorization"
	headerDate          = "X-Amz-Date"
	headerToken         = "X-Amz-Security-Token" //nolint:gosec // a name
	headerInvocation    = "Amz-Sdk-Invocation-Id"

	dateForm = "20060102T150405Z"
)

var errNoKeys = errors.New("the credentials have no keys")

// model is a request of the SDK without its body and without the headers that differ from request to request.
// It is never changed.
type model struct {
	// at is when the model was made or, once it was old, when the call that is to replace it began.
	at     time.Time
	url    url.URL
	host   string
	header http.Header
	// service and region are the ones that the signature is for.
	service, region string
	// ahead is added to the clock of this machine for the time of a signature. It is the difference to the
	// clock of the service, which the SDK has found in earlier answers. A difference of up to two seconds
	// counts as zero.
	ahead time.Duration
}

// learn returns a model of signed, a request that the SDK has signed. To test the model it makes the same request by
// the model and signs that: it returns nil when the signatures differ, because signed then has something that the
// model lacks. It also returns nil when signed has no body or no Signature Version 4, or credentials cannot be had.
func (d *Direct) learn(ctx context.Context, signed *smithyhttp.Request) *model {
	now := time.Now()
	at, err := time.Parse(dateForm, signed.Header.Get(headerDate))
	if err != nil {
		return nil
	}
	m := &model{at: now, url: *signed.URL, host: signed.Host, header: signed.Header.Clone()}
	// A smaller difference may be the fraction of a second that the date does not have.
	if ahead := at.Sub(now); ahead.Abs() > 2*time.Second {
		m.ahead = ahead
	}
	authorization := m.header.Get(headerAuthorization)
	scope := strings.Split(strings.TrimPrefix(authorization, "AWS4-HMAC-SHA256 Credential="), "/")
	if len(scope) < 5 || strings.HasPrefix(scope[0], "AWS4") {
		return nil
	}
	m.region, m.service = scope[2], scope[3]
	for _, name := range []string{headerAuthorization, headerDate, headerToken} {
		m.header.Del(name)
	}

	credentials, err := d.settings.Credentials.Retrieve(ctx)
	if err != nil || signed.ContentLength <= 0 {
		return nil
	}
	again := m.request(ctx, nil, m.header.Get(headerInvocation))
	again.ContentLength = signed.ContentLength
	err = d.settings.Signer.SignHTTP(ctx, credentials, again, v4.GetPayloadHash(ctx), m.service, m.region, at)
	if err != nil || again.Header.Get(headerAuthorization) != authorization {
		return nil
	}
	return m
}

// now returns the time by the clock of the service, which signatures are made with.
func (m *model) now() time.Time { return time.Now().Add(m.ahead) }

// request returns an unsigned POST request by the model. invocation is the id that the SDK gives each call.
func (m *model) request(ctx context.Context, body []byte, invocation string) *http.Request {
	address := m.url
	header := maps.Clone(m.header)
	header[headerInvocation] = []string{invocation}
	r := &http.Request{
		Method: http.MethodPost, URL: &address, Host: m.host, Header: header,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		// A body that net/http knows to be in memory goes out with the header, in
		// one write.
		Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)),
	}
	return r.WithContext(ctx)
}

// learnFrom is a step in the SDK's stack, right after the one that signs. It makes a model of the signed request. If
// the call succeeds it stores the model, which may be nil, in d.
func (d *Direct) learnFrom(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (
	middleware.FinalizeOutput, middleware.Metadata, error,
) {
	var m *model
	if request, ok := in.Request.(*smithyhttp.Request); ok {
		m = d.learn(ctx, request)
	}
	out, metadata, err := next.HandleFinalize(ctx, in)
	if err == nil {
		d.model.Store(m)
	}
	return out, metadata, err //nolint:wrapcheck // a step hands on what the next one says
}
