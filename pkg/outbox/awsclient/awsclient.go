// Package awsclient makes the HTTP client and the retryer for the AWS clients of the sinks: a connection for each
// call in flight, timeouts that tell a destination that cannot be reached from a lost answer, and no retries.
package awsclient

import (
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
)

// Timeouts of a connection: DialTimeout is for looking the host up and for all its addresses together. Both are below the relay's send timeout, so that a destination without a route is seen
// as one that cannot be reached, and not as a call whose outcome is unknown.
const (
	DialTimeout         = time.Second
	TLSHandshakeTimeout = 1500 * time.Millisecond
)

// bufferSize is the size, in bytes, of a connection's buffer for writing, and of that for reading. With the 4
// KiB of net/http, ten events of 500 bytes take two or three writes.
const bufferSize = 16 << 10

// HTTPClient returns a client that keeps up to concurrency idle connections to one host, for as many calls in
// flight, 2 when concurrency is 0. Of the addresses of a host that do not answer, a connection waits 250 ms for each
// before it is tried at the next one too. The SDK keeps 10 by default: each call beyond that opens and closes a connection,
// which costs a fifth of the throughput. The client has no timeout for a whole call: the context of a call ends it.
//
// Call CloseIdleConnections on it after the process was frozen: the other end has closed the connections, and
// the first calls would fail with an unknown outcome.
func HTTPClient(concurrency int) *http.Client { return Fixed(Buildable(concurrency)) }

// Buildable returns a client with the settings of [HTTPClient] for config.LoadDefaultConfig, which adds the certificates
// of AWS_CA_BUNDLE to it, and fails with a client of another type. Give the client in the loaded configuration to
// [Fixed], and use what that returns.
func Buildable(concurrency int) *awshttp.BuildableClient {
	return awshttp.NewBuildableClient().
		WithTransportOptions(func(t *http.Transport) {
			t.DialContext = newDialer().DialContext
			t.MaxIdleConns = 0
			t.MaxIdleConnsPerHost = concurrency
			t.TLSHandshakeTimeout = TLSHandshakeTimeout
			// Answers are a few hundred bytes a message: gzip costs more than it saves.
			t.DisableCompression = true
			// With HTTP/2, what breaks a connection would make the outcome of all calls in flight unknown.
			t.ForceAttemptHTTP2 = false
			t.Protocols = new(http.Protocols)
			t.Protocols.SetHTTP1(true)
			// The SDK's transport offers HTTP/2 here: a server that accepts it would be sent HTTP/1.
			t.TLSClientConfig.NextProtos = nil
			// A batch of ten small events, or its answer, in one system call.
			t.WriteBufferSize = bufferSize
			t.ReadBufferSize = bufferSize
		})
}

// Fixed returns a client with the settings of built, which has to come from [Buildable]. It follows no redirect. The
// AWS clients that use it share its connections.
func Fixed(built *awshttp.BuildableClient) *http.Client {
	return &http.Client{
		Transport:     newTransport(built.GetTransport()),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Retryer returns a retryer for a sink's client that makes one attempt. A relay backs off by lane and by
// destination, so it must see each failure at once: a retry inside the SDK would spend the call's deadline, hide a
// throttle, and replace an unknown outcome by that of the second attempt.
func Retryer() aws.Retryer { return aws.NopRetryer{} }
