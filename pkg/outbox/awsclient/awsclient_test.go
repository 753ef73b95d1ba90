package awsclient_test

import (
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
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
