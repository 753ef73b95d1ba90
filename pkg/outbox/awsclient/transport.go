package awsclient

import (
	"bytes"
	"io"
	"net/http"
	"reflect"
)

// transport is an [http.Transport] that keeps its connection when the SDK closes the body of a request early.
//
// The SDK closes the body as soon as it has the header of the answer. On a busy machine that can be before net/http,
// which has sent the last byte, has looked whether the body ends there. net/http looks by WriteTo when a body has
// it. WriteTo of smithy-go's body returns io.EOF once the body is closed, which net/http takes for a failed write:
// it closes the connection, and reading the answer fails with "use of closed network connection". By Read, a closed
// body just ends.
type transport struct {
	*http.Transport
	// inMemory is the type of io.NopCloser of a bytes.Reader, a body that net/http knows to be in memory and sends in one
	// write with the header. Closing such a body does nothing, so RoundTrip leaves it as it is.
	inMemory reflect.Type
}

// newTransport returns a transport that sends with t.
func newTransport(t *http.Transport) transport {
	return transport{Transport: t, inMemory: reflect.TypeOf(io.NopCloser(new(bytes.Reader)))}
}

// RoundTrip implements [http.RoundTripper]. When the body of r has WriteTo and is not in memory, it sends a copy of r
// whose body has only Read and Close.
func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if _, ok := r.Body.(io.WriterTo); ok && reflect.TypeOf(r.Body) != t.inMemory {
		r = r.WithContext(r.Context())
		r.Body = struct{ io.ReadCloser }{r.Body}
	}
	return t.Transport.RoundTrip(r)
}
