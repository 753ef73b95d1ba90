package awsclient

import (
	"context"
	"net"
	"net/netip"
	"time"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
)

// fallbackDelay is how long a connection to one address of a host is awaited before one to the next address is begun
// as well (RFC 8305 recommends 250 ms).
const fallbackDelay = 250 * time.Millisecond

// dialer connects to the first address of a host that answers, also where the others are of the same family: a
// [net.Dialer] spends its whole time on an address that does not answer. It is safe for concurrent use.
type dialer struct {
	// lookup returns the addresses of a host, an address itself for an address.
	lookup func(ctx context.Context, network, host string) ([]netip.Addr, error)
	// dial connects to one address.
	dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// newDialer returns a dialer with the resolver of the process.
func newDialer() *dialer {
	one := net.Dialer{KeepAlive: awshttp.DefaultDialKeepAliveTimeout}
	return &dialer{lookup: net.DefaultResolver.LookupNetIP, dial: one.DialContext}
}

// DialContext connects to address, a host and a port, within DialTimeout. It begins with the first address of the
// host, and with each further one when fallbackDelay is over or the one before has failed. Where a host has so many
// addresses that fallbackDelay would leave some of them no time, the delay is shorter. The error is that of the first
// address that failed.
func (d *dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, DialTimeout)
	defer cancel()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: err}
	}
	found, err := d.lookup(ctx, "ip", host)
	if err == nil && len(found) == 0 {
		err = &net.DNSError{Err: "no addresses", Name: host, IsNotFound: true}
	}
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: err}
	}
	addresses := make([]string, len(found))
	for i, a := range alternate(found) {
		addresses[i] = net.JoinHostPort(a.String(), port)
	}
	return d.race(ctx, network, addresses)
}

// race connects to the first of the addresses that answers, and closes the connections to others. At least one address
// is required.
func (d *dialer) race(ctx context.Context, network string, addresses []string) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type outcome struct {
		conn net.Conn
		err  error
	}
	outcomes := make(chan outcome, len(addresses))
	delay := min(fallbackDelay, DialTimeout/time.Duration(len(addresses)))
	timer := time.NewTimer(delay)
	defer timer.Stop()
	begun, ended := 0, 0
	begin := func() {
		if begun == len(addresses) {
			return
		}
		address := addresses[begun]
		begun++
		timer.Reset(delay)
		go func() {
			conn, err := d.dial(ctx, network, address)
			outcomes <- outcome{conn, err}
		}()
	}
	var first error
	for begin(); ended < begun; {
		select {
		case o := <-outcomes:
			ended++
			if o.err == nil {
				go func(late int) {
					for range late {
						if loser := <-outcomes; loser.err == nil {
							_ = loser.conn.Close()
						}
					}
				}(begun - ended)
				return o.conn, nil
			}
			if first == nil {
				first = o.err
			}
			begin()
		case <-timer.C:
			begin()
		}
	}
	return nil, first
}

// alternate returns the addresses with those of the two families in turns, beginning with the family of the first. The
// order within a family stays.
func alternate(addresses []netip.Addr) []netip.Addr {
	var families [2][]netip.Addr
	for _, a := range addresses {
		a = a.Unmap()
		family := 0
		if a.Is4() != addresses[0].Unmap().Is4() {
			family = 1
		}
		families[family] = append(families[family], a)
	}
	mixed := make([]netip.Addr, 0, len(addresses))
	for i := range max(len(families[0]), len(families[1])) {
		for _, family := range families {
			if i < len(family) {
				mixed = append(mixed, family[i])
			}
		}
	}
	return mixed
}
