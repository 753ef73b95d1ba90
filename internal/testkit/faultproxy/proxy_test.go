package faultproxy_test

import (
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/faultproxy"
)

// echo is a server that sends back what it gets.
func echo(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(conn, conn) }()
		}
	}()
	return l.Addr().String()
}

func start(t *testing.T) *faultproxy.Proxy {
	t.Helper()
	p, err := faultproxy.Start(echo(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func dial(t *testing.T, p *faultproxy.Proxy) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// ask sends a byte and waits for it to come back.
func ask(conn net.Conn) error {
	if _, err := conn.Write([]byte("x")); err != nil {
		return err
	}
	_, err := io.ReadFull(conn, make([]byte, 1))
	return err
}

func TestProxyForwards(t *testing.T) {
	t.Parallel()
	if err := ask(dial(t, start(t))); err != nil {
		t.Error(err)
	}
}

func TestCutAndResetEndConnectionsAndNewOnesWork(t *testing.T) {
	t.Parallel()
	p := start(t)
	for name, end := range map[string]func() int{"cut": p.Cut, "reset": p.Reset} {
		conn := dial(t, p)
		if err := ask(conn); err != nil {
			t.Fatal(err)
		}
		if end() == 0 {
			t.Errorf("%s: there was no connection to end", name)
		}
		_, err := conn.Read(make([]byte, 1))
		if name == "reset" && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%s: read: %v, want a reset", name, err)
		}
		if err == nil {
			t.Errorf("%s: the connection works", name)
		}
	}
	if err := ask(dial(t, p)); err != nil {
		t.Error(err)
	}
}

func TestRedirectedConnectionsReachAnotherServer(t *testing.T) {
	t.Parallel()
	p := start(t)
	old := dial(t, p)
	if err := ask(old); err != nil {
		t.Fatal(err)
	}
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = other.Close() })
	p.Redirect(other.Addr().String())
	dial(t, p)
	conn, err := other.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := ask(old); err != nil {
		t.Errorf("a connection from before ended: %v", err)
	}
}

func TestRefusedConnectionsEnd(t *testing.T) {
	t.Parallel()
	p := start(t)
	p.Refuse(true)
	if ask(dial(t, p)) == nil {
		t.Error("a connection was taken")
	}
	p.Refuse(false)
	if err := ask(dial(t, p)); err != nil {
		t.Error(err)
	}
}

func TestStalledDataArrivesLater(t *testing.T) {
	t.Parallel()
	p := start(t)
	conn := dial(t, p)
	p.Stall(true)
	answered := make(chan error, 1)
	go func() { answered <- ask(conn) }()
	timer := time.NewTimer(50 * time.Millisecond)
	defer timer.Stop()
	select {
	case err := <-answered:
		t.Fatalf("answered through a stall: %v", err)
	case <-timer.C:
	}
	p.Stall(false)
	if err := <-answered; err != nil {
		t.Error(err)
	}
}

func TestDelayHoldsDataBack(t *testing.T) {
	t.Parallel()
	p := start(t)
	conn := dial(t, p)
	const delay = 20 * time.Millisecond
	p.Delay(delay)
	began := time.Now()
	if err := ask(conn); err != nil {
		t.Fatal(err)
	}
	// It passes the proxy twice, and each pass is at least the delay.
	if took := time.Since(began); took < 2*delay {
		t.Errorf("answered after %s", took)
	}
}
