package awsclient

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
)

// oneWrite gives the transport small bodies as bytes in memory. Behind a body
// that it does not know, net/http writes the header by itself first, and copies
// the body through a buffer of its own: two writes, and over TLS two records.
//
// With the bytes at hand the transport also sends a request again when its idle
// connection turns out to be closed before anything was written to it. A request
// of which anything was written is never sent again.
type oneWrite struct{ *http.Transport }

// RoundTrip implements [http.RoundTripper].
func (t oneWrite) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body == nil || r.ContentLength <= 0 || r.ContentLength > bufferSize {
		return t.Transport.RoundTrip(r)
	}
	body := make([]byte, r.ContentLength)
	_, err := io.ReadFull(r.Body, body)
	if closed := r.Body.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return nil, fmt.Errorf("read the request's body: %w", err)
	}
	memory := r.WithContext(r.Context())
	memory.Body = io.NopCloser(bytes.NewReader(body))
	memory.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	return t.Transport.RoundTrip(memory)
}
