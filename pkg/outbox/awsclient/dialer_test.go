package awsclient

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// addresses returns a lookup that finds these addresses for any host.
func addresses(list ...string) func(context.Context, string, string) ([]netip.Addr, error) {
	var all []netip.Addr
	for _, s := range list {
		all = append(all, netip.MustParseAddr(s))
	}
	return func(context.Context, string, string) ([]netip.Addr, error) { return all, nil }
}

var errRefused = &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}

// conn is a connection that knows whether it was closed.
type conn struct {
	net.Conn
	address string
	closed  chan struct{}
}

// Close implements [net.Conn].
func (c *conn) Close() error {
	close(c.closed)
	return nil
}

// attempt is a connection that was begun, and when.
type attempt struct {
	address string
	after   time.Duration
}

// network is addresses with what becomes of a connection to each, in the virtual time of a test.
type network struct {
	begun time.Time
	// mu guards the two fields below.
	mu       sync.Mutex
	attempts []attempt
	conns    []*conn
	// answers has after which time an address answers; one that it lacks never does. refuses has those that refuse.
	answers map[string]time.Duration
	refuses []string
}

// dial connects as the network does.
func (n *network) dial(ctx context.Context, _, address string) (net.Conn, error) {
	n.mu.Lock()
	n.attempts = append(n.attempts, attempt{address, time.Since(n.begun)})
	n.mu.Unlock()
	if slices.Contains(n.refuses, address) {
		return nil, errRefused
	}
	after, ok := n.answers[address]
	if !ok {
		<-ctx.Done()
		return nil, &net.OpError{Op: "dial", Err: ctx.Err()}
	}
	// The connection is made although its dial was given up.
	<-time.After(after)
	c := &conn{address: address, closed: make(chan struct{})}
	n.mu.Lock()
	n.conns = append(n.conns, c)
	n.mu.Unlock()
	return c, nil
}

func TestTheNextAddressOfAHostIsTriedWhenOneDoesNotAnswer(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	for name, c := range map[string]struct {
		hosts    []string
		network  *network
		want     string // empty for a failure
		attempts []attempt
		took     time.Duration
	}{
		"the first answers": {
			[]string{"10.0.0.1", "10.0.0.2"},
			&network{answers: map[string]time.Duration{"10.0.0.1:443": 249 * ms, "10.0.0.2:443": 0}},
			"10.0.0.1:443",
			[]attempt{{"10.0.0.1:443", 0}},
			249 * ms,
		},
		"the first is dead": {
			[]string{"10.0.0.1", "10.0.0.2"},
			&network{answers: map[string]time.Duration{"10.0.0.2:443": 2 * ms}},
			"10.0.0.2:443",
			[]attempt{{"10.0.0.1:443", 0}, {"10.0.0.2:443", 250 * ms}},
			252 * ms,
		},
		"the first refuses": {
			[]string{"10.0.0.1", "10.0.0.2"},
			&network{answers: map[string]time.Duration{"10.0.0.2:443": 2 * ms}, refuses: []string{"10.0.0.1:443"}},
			"10.0.0.2:443",
			[]attempt{{"10.0.0.1:443", 0}, {"10.0.0.2:443", 0}},
			2 * ms,
		},
		"the last of three": {
			[]string{"10.0.0.1", "10.0.0.2", "10.0.0.3"},
			&network{answers: map[string]time.Duration{"10.0.0.3:443": 2 * ms}},
			"10.0.0.3:443",
			[]attempt{{"10.0.0.1:443", 0}, {"10.0.0.2:443", 250 * ms}, {"10.0.0.3:443", 500 * ms}},
			502 * ms,
		},
		"a slow first wins": {
			[]string{"10.0.0.1", "10.0.0.2"},
			&network{answers: map[string]time.Duration{"10.0.0.1:443": 300 * ms, "10.0.0.2:443": 100 * ms}},
			"10.0.0.1:443",
			[]attempt{{"10.0.0.1:443", 0}, {"10.0.0.2:443", 250 * ms}},
			300 * ms,
		},
		"families in turns": {
			[]string{"2001:db8::1", "2001:db8::2", "10.0.0.1"},
			&network{answers: map[string]time.Duration{"10.0.0.1:443": 0}},
			"10.0.0.1:443",
			[]attempt{{"[2001:db8::1]:443", 0}, {"10.0.0.1:443", 250 * ms}},
			250 * ms,
		},
		"all refuse": {
			[]string{"10.0.0.1", "10.0.0.2"},
			&network{refuses: []string{"10.0.0.1:443", "10.0.0.2:443"}},
			"",
			[]attempt{{"10.0.0.1:443", 0}, {"10.0.0.2:443", 0}},
			0,
		},
		"all are dead": {
			[]string{"10.0.0.1", "10.0.0.2"},
			&network{},
			"",
			[]attempt{{"10.0.0.1:443", 0}, {"10.0.0.2:443", 250 * ms}},
			DialTimeout,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n := c.network
				n.begun = time.Now()
				d := dialer{lookup: addresses(c.hosts...), dial: n.dial}
				got, err := d.DialContext(t.Context(), "tcp", "sqs.eu-west-1.amazonaws.com:443")
				took := time.Since(n.begun)
				synctest.Wait()
				n.mu.Lock()
				if took != c.took || !slices.Equal(n.attempts, c.attempts) {
					t.Errorf("took %v, attempts %v; want %v, %v", took, n.attempts, c.took, c.attempts)
				}
				n.mu.Unlock()
				won, _ := got.(*conn)
				switch {
				case c.want == "":
					if op, ok := errors.AsType[*net.OpError](err); !ok || op.Op != "dial" {
						t.Errorf("error %v, want one of dial", err)
					}
				case err != nil || won == nil || won.address != c.want:
					t.Fatalf("got %v, error %v", got, err)
				}
				<-time.After(DialTimeout)
				synctest.Wait()
				n.mu.Lock()
				defer n.mu.Unlock()
				for _, made := range n.conns {
					if made == won {
						continue
					}
					select {
					case <-made.closed:
					default:
						t.Errorf("the connection to %s is left open", made.address)
					}
				}
			})
		})
	}
}

func TestEachOfManyAddressesIsTried(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var hosts []string
		for i := range 16 {
			hosts = append(hosts, "10.0.0."+strconv.Itoa(i+1))
		}
		n := &network{begun: time.Now(), answers: map[string]time.Duration{"10.0.0.16:443": time.Millisecond}}
		d := dialer{lookup: addresses(hosts...), dial: n.dial}
		if _, err := d.DialContext(t.Context(), "tcp", "host:443"); err != nil || len(n.attempts) != len(hosts) {
			t.Errorf("%d attempts, error %v", len(n.attempts), err)
		}
	})
}

func TestAHostThatIsNotFoundIsAFailureToDial(t *testing.T) {
	t.Parallel()
	d := newDialer()
	d.lookup = func(context.Context, string, string) ([]netip.Addr, error) {
		return nil, &net.DNSError{Err: "no such host", IsNotFound: true}
	}
	_, err := d.DialContext(t.Context(), "tcp", "host:443")
	if op, ok := errors.AsType[*net.OpError](err); !ok || op.Op != "dial" {
		t.Errorf("error %v", err)
	}
	if _, ok := errors.AsType[*net.DNSError](err); !ok {
		t.Errorf("error %v", err)
	}
}

// deaf occupies an address of this machine that answers no connection: the queue of its listener is full.
func deaf(t *testing.T, address [4]byte, port int) {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	if err = syscall.Bind(fd, &syscall.SockaddrInet4{Port: port, Addr: address}); err != nil {
		t.Skipf("no second address of loopback: %v", err)
	}
	if err = syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	for range 8 {
		one := net.Dialer{Timeout: 50 * time.Millisecond}
		c, err := one.DialContext(t.Context(), "tcp", netip.AddrPortFrom(netip.AddrFrom4(address), uint16(port)).String())
		if err != nil {
			return
		}
		t.Cleanup(func() { _ = c.Close() })
	}
	t.Skip("the queue of the listener does not fill")
}

// A name with a dead address and one that works serves requests, within DialTimeout.
func TestARequestReachesTheAddressThatWorks(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "here") }))
	defer server.Close()
	at, ok := server.Listener.Addr().(*net.TCPAddr)
	if !ok {
		t.Fatal("no TCP")
	}
	deaf(t, [4]byte{127, 0, 0, 2}, at.Port)
	built := Buildable(1)
	client := Fixed(built.WithTransportOptions(func(tr *http.Transport) {
		d := newDialer()
		d.lookup = addresses("127.0.0.2", "127.0.0.1")
		tr.DialContext = d.DialContext
	}))
	defer client.CloseIdleConnections()
	response, err := client.Get("http://queue.test:" + strconv.Itoa(at.Port))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if body, err := io.ReadAll(response.Body); err != nil || string(body) != "here" {
		t.Errorf("read %q, error %v", body, err)
	}
}
