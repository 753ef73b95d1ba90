package awsclient_test

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/awsclient"
)

func TestConnectionsOfAllCallsInFlightAreKept(t *testing.T) {
	t.Parallel()
	const concurrency = 32
	var opened atomic.Int64
	// All calls of a round are in flight at once: none is answered before the last came.
	var came sync.WaitGroup
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		came.Done()
		came.Wait()
	}))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened.Add(1)
		}
	}
	server.Start()
	defer server.Close()

	client := awsclient.HTTPClient(concurrency)
	defer client.CloseIdleConnections()
	for range 3 {
		came.Add(concurrency)
		var calls sync.WaitGroup
		for range concurrency {
			calls.Go(func() {
				request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, http.NoBody)
				if err != nil {
					t.Error(err)
					return
				}
				response, err := client.Do(request)
				if err != nil {
					t.Error(err)
					return
				}
				_, err = io.Copy(io.Discard, response.Body)
				if err = errors.Join(err, response.Body.Close()); err != nil {
					t.Error(err)
				}
			})
		}
		calls.Wait()
	}
	// A connection that has just been answered may not be idle yet when the next
	// round begins, so a few more can open; without the setting 22 of 32 do in
	// each round.
	if n := opened.Load(); n > concurrency+concurrency/2 {
		t.Errorf("%d connections for %d calls in flight", n, concurrency)
	}
}

func TestTheRetryerTriesOnce(t *testing.T) {
	t.Parallel()
	r := awsclient.Retryer()
	if r.MaxAttempts() != 1 || r.IsErrorRetryable(io.EOF) {
		t.Errorf("%d attempts", r.MaxAttempts())
	}
}

func TestAServerThatPrefersHTTP2IsSpokenToInHTTP1(t *testing.T) {
	t.Parallel()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Proto)
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	pool := x509.NewCertPool()
	pool.AddCert(server.Certificate())
	client := awsclient.Fixed(awsclient.Buildable(1).WithTransportOptions(func(t *http.Transport) { t.TLSClientConfig.RootCAs = pool }))
	response, err := client.Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if proto, err := io.ReadAll(response.Body); err != nil || string(proto) != "HTTP/1.1" {
		t.Errorf("spoke %q, error %v", proto, err)
	}
}

func TestASmallRequestIsOneWrite(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		_, _ = w.Write(body)
	}))
	defer server.Close()
	var writes atomic.Int64
	client := awsclient.Fixed(awsclient.Buildable(1).WithTransportOptions(func(t *http.Transport) {
		dial := t.DialContext
		t.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := dial(ctx, network, address)
			return countedConn{c, &writes}, err
		}
	}))
	defer client.CloseIdleConnections()
	for _, body := range []string{strings.Repeat("small", 1500), strings.Repeat("large", 10_000)} {
		writes.Store(0)
		// The SDK wraps the bodies of its requests, too.
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, io.NopCloser(io.MultiReader(strings.NewReader(body))))
		if err != nil {
			t.Fatal(err)
		}
		request.ContentLength = int64(len(body))
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(response.Body)
		if err = errors.Join(err, response.Body.Close()); err != nil || string(got) != body {
			t.Errorf("%d bytes came back as %d, error %v", len(body), len(got), err)
		}
		if n := writes.Load(); len(body) < 10_000 && n != 1 {
			t.Errorf("%d writes for %d bytes", n, len(body))
		}
	}
}

func TestABodyShorterThanItsLengthIsAnError(t *testing.T) {
	t.Parallel()
	client := awsclient.HTTPClient(1)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://127.0.0.1:1", io.NopCloser(strings.NewReader("four")))
	if err != nil {
		t.Fatal(err)
	}
	request.ContentLength = 5
	response, err := client.Do(request)
	if err == nil {
		_ = response.Body.Close()
	}
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("error %v", err)
	}
}

type countedConn struct {
	net.Conn
	writes *atomic.Int64
}

func (c countedConn) Write(b []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(b)
}
