package sinks_test

import (
	"context"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/awsclient"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest/sinktest"
)

// door is the listener of a TLS server. While it has a fault it gives each connection to that, and none to the server.
type door struct {
	net.Listener
	fault atomic.Pointer[func(net.Conn)]
}

// Accept implements [net.Listener].
func (d *door) Accept() (net.Conn, error) {
	for {
		c, err := d.Listener.Accept()
		if err != nil {
			return nil, err
		}
		fault := d.fault.Load()
		if fault == nil {
			return c, nil
		}
		go (*fault)(c)
	}
}

// way is the way of requests to a TLS server, which is broken from some time on in one of the manners of its fields.
type way struct {
	// connection is what becomes of a connection to the server.
	connection func(net.Conn)
	// request is what becomes of a request at the server.
	request http.HandlerFunc
	// dial is what becomes of the connecting.
	dial func(ctx context.Context) (net.Conn, error)
	// proxy is what a proxy between client and server does with a connection.
	proxy func(net.Conn)
	// deadline is the time for a call. handshake is that for a TLS handshake. Zero is ten seconds.
	deadline, handshake time.Duration
}

// answers returns a fault of a connection: it reads the first bytes, writes the text and closes.
func answers(text string) func(net.Conn) {
	return func(c net.Conn) {
		_, _ = c.Read(make([]byte, 4096))
		_, _ = io.WriteString(c, text)
		_ = c.Close()
	}
}

// resets resets the connection c once the first bytes have come.
func resets(c net.Conn) {
	_, _ = c.Read(make([]byte, 4096))
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.Close()
}

// listen calls serve for each connection to a new listener on 127.0.0.1, whose address it returns, until the test ends.
func listen(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serve(c)
		}
	}()
	return l.Addr().String()
}

// publishOver publishes messages twice with a new sink of s: first over a way that works, which must accept them, and
// then over the broken way w. It returns the results of the second time.
func (w *way) publishOver(t *testing.T, s *service, sdkCodec bool) []outbox.Result {
	t.Helper()
	msgs := sinktest.Messages(2)
	var broken atomic.Bool
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if broken.Load() {
			w.request(rw, r)
			return
		}
		_, _ = rw.Write(s.answer(msgs))
	}))
	entrance := &door{Listener: server.Listener}
	server.Listener = entrance
	server.StartTLS()
	t.Cleanup(server.Close)
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())

	var proxy *url.URL
	if w.proxy != nil {
		proxy = &url.URL{Scheme: "http", Host: listen(t, w.proxy)}
	}
	client := awsclient.Fixed(awsclient.Buildable(2).WithTransportOptions(func(tr *http.Transport) {
		tr.TLSClientConfig.RootCAs = roots
		tr.TLSHandshakeTimeout = 10 * time.Second
		if w.handshake > 0 {
			tr.TLSHandshakeTimeout = w.handshake
		}
		dial := tr.DialContext
		tr.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			if w.dial != nil && broken.Load() {
				return w.dial(ctx)
			}
			return dial(ctx, network, address)
		}
		tr.Proxy = func(*http.Request) (*url.URL, error) {
			if !broken.Load() {
				return nil, nil //nolint:nilnil // as http.ProxyURL does
			}
			return proxy, nil
		}
	}))
	t.Cleanup(client.CloseIdleConnections)
	sink := s.sink(t, config(server.URL, client), settings{destination: s.nowhere, sdkCodec: sdkCodec})
	expectClasses(t, sink, msgs, func(int) outbox.Class { return outbox.Accepted })

	client.CloseIdleConnections()
	broken.Store(true)
	if w.connection != nil {
		entrance.fault.Store(&w.connection)
	}
	deadline := w.deadline
	if deadline == 0 {
		deadline = 10 * time.Second
	}
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	return sink.Publish(ctx, msgs)
}

// overEach tests each way with each service and each codec: all results have the class.
func overEach(t *testing.T, class outbox.Class, ways map[string]*way) {
	t.Helper()
	for name, w := range ways {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for serviceName, s := range services() {
				for codec, sdk := range codecs() {
					for i, r := range w.publishOver(t, s, sdk) {
						if r.Class != class {
							t.Errorf("%s, codec %s, message %d: %v (%s, %v), want %v", serviceName, codec, i, r.Class, r.Code, r.Err, class)
						}
					}
				}
			}
		})
	}
}

// Of a request that had no connection nothing was sent: it is no unknown outcome, and to send it again is no resend.
func TestARequestWithoutAConnectionIsUnavailable(t *testing.T) {
	t.Parallel()
	holds := func(c net.Conn) {
		_, _ = io.Copy(io.Discard, c)
		_ = c.Close()
	}
	overEach(t, outbox.Unavailable, map[string]*way{
		"handshake without an answer":              {connection: holds, handshake: 50 * time.Millisecond},
		"handshake without an answer, at deadline": {connection: holds, deadline: 50 * time.Millisecond},
		"alert in the handshake":                   {connection: answers("\x15\x03\x03\x00\x02\x02\x28")},
		"HTTP in the place of TLS":                 {connection: answers("HTTP/1.1 400 Bad Request\r\n\r\n")},
		"reset in the handshake":                   {connection: resets},
		"end in the handshake":                     {connection: answers("")},
		"proxy wants a password":                   {proxy: answers("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")},
		"proxy does not reach the host":            {proxy: answers("HTTP/1.1 502 Bad Gateway\r\n\r\n")},
		"proxy resets":                             {proxy: resets},
		"no such host": {dial: func(context.Context) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", IsNotFound: true}}
		}},
		"no connection before the deadline": {deadline: 50 * time.Millisecond, dial: func(ctx context.Context) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}},
	})
}

func TestARequestThatHadAConnectionIsUnknownWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	overEach(t, outbox.Unknown, map[string]*way{
		"connection ends": {request: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }},
		"no answer":       {request: func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, deadline: 50 * time.Millisecond},
	})
}

// A page of something on the way has no code of the broker. It rejects no message, also at a destination that works.
func TestAPageInThePlaceOfAnAnswerRejectsNothing(t *testing.T) {
	t.Parallel()
	for _, status := range []int{400, 401, 403, 404, 405, 407, 411, 413, 414, 429, 431, 451, 500, 502, 503} {
		w := &way{request: func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Content-Type", "text/html")
			rw.WriteHeader(status)
			_, _ = io.WriteString(rw, "<html><head><title>"+http.StatusText(status)+"</title></head><body>ask your administrator</body></html>")
		}}
		for name, s := range services() {
			for codec, sdk := range codecs() {
				for i, r := range w.publishOver(t, s, sdk) {
					if r.Class == outbox.Rejected || r.Class == outbox.Accepted {
						t.Errorf("status %d, %s, codec %s, message %d: %v (%s, %v)", status, name, codec, i, r.Class, r.Code, r.Err)
					}
				}
			}
		}
	}
}
