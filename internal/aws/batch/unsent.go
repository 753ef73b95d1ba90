package batch

import (
	"context"
	"net/http/httptrace"
	"sync/atomic"
)

// UnsentError is the error of a call that got no connection for its request, so that nothing of it was sent: the host
// could not be looked up or connected to, the TLS handshake failed, or a proxy refused to connect.
type UnsentError struct {
	// Err is the error of the call.
	Err error
}

// Error returns the text of Err, with "not sent" in front.
func (e *UnsentError) Error() string { return "not sent: " + e.Err.Error() }

// Unwrap returns Err.
func (e *UnsentError) Unwrap() error { return e.Err }

// reach is how far the requests of one call get, as net/http reports it. A TLS handshake and the CONNECT of a proxy
// come before the connection that it reports. It is safe for concurrent use.
type reach struct {
	// asked is set once a request wanted a connection, and connected once one had it.
	asked, connected atomic.Bool
}

// watch returns a context for one call, and how far the requests that are made with it get.
func watch(ctx context.Context) (context.Context, *reach) {
	r := new(reach)
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) { r.asked.Store(true) },
		GotConn: func(httptrace.GotConnInfo) { r.connected.Store(true) },
	}), r
}

// explain returns err, the error of the call, as an [UnsentError] when no request of it had a connection. A client that
// does not report to [httptrace] never makes one.
func (r *reach) explain(err error) error {
	if err == nil || !r.asked.Load() || r.connected.Load() {
		return err
	}
	return &UnsentError{Err: err}
}
