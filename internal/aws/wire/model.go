package wire

import (
	"bytes"
	"context"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// modelFor is how long a request of the SDK is the model for others. So changes
// of the endpoint, of the clock's error or of the trace of the invocation are
// followed a second later.
const modelFor = time.Second

// Headers that differ from request to request.
const (
	headerAuthorization = "Authorization"
	headerDate          = "X-Amz-Date"
	headerToken         = "X-Amz-Security-Token" //nolint:gosec // a name
	headerInvocation    = "Amz-Sdk-Invocation-Id"

	dateForm = "20060102T150405Z"
)

// model is a request that the SDK has made, without what differs.
type model struct {
	at              time.Time
	url             url.URL
	host            string
	header          http.Header
	service, region string
	// ahead is how much later than our clock the SDK has signed, as it does when
	// the service's clock shows something else.
	ahead time.Duration
}

// learn makes a model of a signed request. It returns nil unless signing a copy
// of it gives the same signature.
func (d *Direct) learn(ctx context.Context, signed *smithyhttp.Request) *model {
	now := time.Now()
	at, err := time.Parse(dateForm, signed.Header.Get(headerDate))
	if err != nil {
		return nil
	}
	m := &model{at: now, url: *signed.URL, host: signed.Host, header: signed.Header.Clone()}
	// Below that it may be the fraction that the form lacks.
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

// now is the time to sign at.
func (m *model) now() time.Time { return time.Now().Add(m.ahead) }

// request returns a copy with the body, to be signed.
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
