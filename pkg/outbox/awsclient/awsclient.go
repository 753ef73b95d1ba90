// Package awsclient makes the HTTP client and the retryer for the AWS clients of
// the sinks: a connection for each call in flight, timeouts that tell a
// destination that cannot be reached from a lost answer, and no retries.
package awsclient

import (
	"net"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
)

// Timeouts of a connection. Both are below the relay's send timeout, so that a
// destination without a route is seen as one that cannot be reached, and not
// as a call whose outcome is unknown.
const (
	DialTimeout         = time.Second
	TLSHandshakeTimeout = 1500 * time.Millisecond
)

// bufferSize is the size, in bytes, of a connection's buffer for writing, and of that for reading. With the 4
// KiB of net/http, ten events of 500 bytes take two or three writes.
const bufferSize = 16 << 10

// HTTPClient returns a client that keeps up to concurrency idle connections to one host, for as many calls in
// flight. The SDK keeps 10 by default: more calls than that open and close a connection each, which costs a
// fifth of the throughput. The client has no timeout for a whole call: the context of the call is its deadline.
//
// Call CloseIdleConnections on it after the process was frozen: the other end has closed the connections, and
// the first calls would fail with an unknown outcome.
func HTTPClient(concurrency int) *http.Client { return Fixed(Buildable(concurrency)) }

// Buildable returns the settings of [HTTPClient] as a client that can still be changed, to give to
// config.LoadDefaultConfig: that adds the certificates of AWS_CA_BUNDLE to such a client only. Make the client
// of the result with [Fixed].
func Buildable(concurrency int) *awshttp.BuildableClient {
	return awshttp.NewBuildableClient().
		WithDialerOptions(func(d *net.Dialer) { d.Timeout = DialTimeout }).
		WithTransportOptions(func(t *http.Transport) {
			t.MaxIdleConns = 0
			t.MaxIdleConnsPerHost = concurrency
			t.TLSHandshakeTimeout = TLSHandshakeTimeout
			// Answers are a few hundred bytes a message; asking for gzip costs
			// more than it saves.
			t.DisableCompression = true
			// One call a connection: what breaks a connection makes the outcome
			// of one call unknown, and not of all in flight.
			t.ForceAttemptHTTP2 = false
			t.Protocols = new(http.Protocols)
			t.Protocols.SetHTTP1(true)
			// The SDK's transport has already offered HTTP/2 to servers by
			// now; one that takes the offer would be answered in HTTP/1.
			t.TLSClientConfig.NextProtos = nil
			// A batch of ten small events, or its answer, in one system call.
			t.WriteBufferSize = bufferSize
			t.ReadBufferSize = bufferSize
		})
}

// Fixed returns a client with the settings of built, which has to come from [Buildable]. It follows no
// redirect. All AWS clients that are given it share its connections.
func Fixed(built *awshttp.BuildableClient) *http.Client {
	return &http.Client{
		Transport:     newTransport(built.GetTransport()),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Retryer returns the retryer for a sink's client: none. A relay keeps order
// within a lane and backs off by lane and by destination, so it must see each
// failure at once. A retry inside the SDK would spend the call's deadline, hide
// a throttle, and turn an unknown outcome into whatever the second attempt met;
// the SDK's own first pause is up to a second long.
func Retryer() aws.Retryer { return aws.NopRetryer{} }
