// Package faultproxy is a TCP proxy whose connections can be cut, reset, delayed and stalled while they are in use.
package faultproxy

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// Proxy forwards connections to one address at a time. Its methods may be called concurrently.
type Proxy struct {
	listener net.Listener

	mu       sync.Mutex // guards the fields below but running
	upstream string
	pairs    map[*pair]bool // the open connections, each with the value true
	refuse   bool
	delay    time.Duration
	stalled  chan struct{} // closed at the end of a stall; nil when there is none
	closed   bool
	running  sync.WaitGroup // every goroutine of the proxy
}

// pair is a connection of a client and the one that it is forwarded to.
type pair struct {
	client, server net.Conn
}

// Start returns a proxy on a free port of 127.0.0.1 that forwards to upstream, a host and port.
func Start(upstream string) (*Proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // It listens until Close.
	if err != nil {
		return nil, fmt.Errorf("fault proxy: %w", err)
	}
	p := &Proxy{listener: l, upstream: upstream, pairs: map[*pair]bool{}}
	p.running.Go(p.accept)
	return p, nil
}

// Addr returns the host and port that clients connect to.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Refuse closes every new connection at once, until it is called with false. Connections that are open stay open.
func (p *Proxy) Refuse(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuse = on
}

// Redirect forwards every new connection to upstream, a host and port, as when a name gets another address. Connections
// that are open go on to the server they have.
func (p *Proxy) Redirect(upstream string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.upstream = upstream
}

// Delay passes on each piece of data, of up to 64 KiB, d after it arrived, in both
// directions and also for open connections. Zero ends the delay.
func (p *Proxy) Delay(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay = d
}

// Stall stops all data, also of new connections, without closing anything,
// until it is called with false. The data that waited is then passed on.
func (p *Proxy) Stall(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case on && p.stalled == nil:
		p.stalled = make(chan struct{})
	case !on && p.stalled != nil:
		close(p.stalled)
		p.stalled = nil
	}
}

// Cut closes the current connections and returns how many there were.
func (p *Proxy) Cut() int { return p.end(func(*net.TCPConn) {}) }

// Reset ends the current connections with a TCP reset, which discards data that is
// under way, and returns how many there were.
func (p *Proxy) Reset() int {
	return p.end(func(c *net.TCPConn) { _ = c.SetLinger(0) }) // It fails on a closed connection only.
}

// end closes both sides of all open pairs, after prepare was called with each side, and returns the number of pairs.
func (p *Proxy) end(prepare func(*net.TCPConn)) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.pairs {
		for _, side := range []net.Conn{c.client, c.server} {
			if tcp, ok := side.(*net.TCPConn); ok {
				prepare(tcp)
			}
			_ = side.Close() // It may be closed already.
		}
	}
	return len(p.pairs)
}

// Close ends the proxy and its connections, and waits for its goroutines.
func (p *Proxy) Close() error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	err := p.listener.Close()
	p.Stall(false)
	p.Cut()
	p.running.Wait()
	return err
}

// accept serves each new connection in a goroutine of its own, until the listener is closed.
func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			p.running.Go(func() { p.forward(client) })
		}
	}
}

// forward connects client with upstream until both directions have ended, and closes it. It closes client at once when
// the proxy refuses connections or upstream does not answer.
func (p *Proxy) forward(client net.Conn) {
	defer client.Close() //nolint:errcheck // It may be closed already.
	p.mu.Lock()
	refuse, upstream := p.refuse || p.closed, p.upstream
	p.mu.Unlock()
	if refuse {
		return
	}
	server, err := net.Dial("tcp", upstream) //nolint:noctx // A loopback address answers at once.
	if err != nil {
		return
	}
	defer server.Close() //nolint:errcheck // It may be closed already.
	c := &pair{client: client, server: server}
	p.mu.Lock()
	if p.refuse || p.closed {
		p.mu.Unlock()
		return
	}
	p.pairs[c] = true
	p.mu.Unlock()
	var both sync.WaitGroup
	both.Go(func() { p.pipe(client, server) })
	both.Go(func() { p.pipe(server, client) })
	both.Wait()
	p.mu.Lock()
	delete(p.pairs, c)
	p.mu.Unlock()
}

// pipe carries data from one connection to the other, until one of them fails or the peer has ended from. Then it closes
// to, and also from where a connection failed.
func (p *Proxy) pipe(from, to net.Conn) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			p.hold()
			if _, writeErr := to.Write(buffer[:n]); writeErr != nil {
				err = writeErr
			}
		}
		if err != nil {
			if !errors.Is(err, io.EOF) {
				_ = from.Close() // It may be closed already.
			}
			_ = to.Close() // It may be closed already.
			return
		}
	}
}

// hold waits for the delay, and then for the end of the stall, if any, both as they were set when hold was called. A
// stall that begins during the delay does not stop this piece of data.
func (p *Proxy) hold() {
	p.mu.Lock()
	delay, stalled := p.delay, p.stalled
	p.mu.Unlock()
	if delay > 0 {
		timer := time.NewTimer(delay)
		<-timer.C
	}
	if stalled != nil {
		<-stalled
	}
}
