//go:build unix

package failover

import (
	"context"
	"errors"
	"fmt"
	"net/url"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/faultproxy"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/pgserver"
)

// pair is a primary with its standby, behind the address of a proxy that leads to whichever is the primary.
type pair struct {
	primary *pgserver.Server
	// standby is nil while there is none.
	standby *pgserver.Server
	// clients is the proxy that writers and relay connect to, between the one through which the standby follows the
	// primary, nil while there is no standby.
	clients, between *faultproxy.Proxy
}

// openPair starts a primary without a standby, and the proxy of the clients.
func openPair(ctx context.Context) (*pair, error) {
	primary, err := pgserver.Start(ctx, pgserver.Config{Settings: map[string]string{
		// A killed server leaves no shared memory behind, and a new standby finds the log that it needs.
		"dynamic_shared_memory_type": "mmap",
		"wal_keep_size":              "64MB",
		// A standby whose primary is gone looks for its promotion this often.
		"wal_retrieve_retry_interval": "100ms",
	}})
	if err != nil {
		return nil, err
	}
	p := &pair{primary: primary}
	if p.clients, err = proxyTo(primary); err != nil {
		return nil, errors.Join(err, primary.Stop())
	}
	return p, nil
}

// URL implements [rig.Server]: the address of the proxy.
func (p *pair) URL() string {
	u, err := p.primary.At(p.clients.Addr())
	if err != nil {
		panic(err) // Both addresses were parsed before.
	}
	return u
}

// follow makes a standby of the primary and returns when it follows.
func (p *pair) follow(ctx context.Context) (err error) {
	if p.between, err = proxyTo(p.primary); err != nil {
		return err
	}
	p.standby, err = p.primary.Standby(ctx, p.between.Addr())
	return err
}

// cutOff ends the standby's connection to the primary for good, so that the standby lacks every later commit.
func (p *pair) cutOff() {
	p.between.Refuse(true)
	p.between.Cut()
}

// takeOver kills the primary and promotes the standby to be the primary. No client reaches it before flip.
func (p *pair) takeOver(ctx context.Context) error {
	if err := p.primary.Kill(ctx); err != nil {
		return err
	}
	if err := p.standby.Promote(ctx); err != nil {
		return err
	}
	p.primary, p.standby = p.standby, nil
	err := p.between.Close()
	p.between = nil
	return err
}

// flip lets the address of the clients lead to the primary.
func (p *pair) flip() error {
	at, err := host(p.primary)
	if err == nil {
		p.clients.Redirect(at)
	}
	return err
}

// close stops the servers and the proxies.
func (p *pair) close() error {
	err := errors.Join(p.clients.Close(), p.primary.Stop())
	if p.standby != nil {
		err = errors.Join(err, p.standby.Stop())
	}
	if p.between != nil {
		err = errors.Join(err, p.between.Close())
	}
	return err
}

// proxyTo returns a proxy that leads to the server.
func proxyTo(s *pgserver.Server) (*faultproxy.Proxy, error) {
	at, err := host(s)
	if err != nil {
		return nil, err
	}
	return faultproxy.Start(at)
}

// host returns the host and port of the server.
func host(s *pgserver.Server) (string, error) {
	u, err := url.Parse(s.URL())
	if err != nil {
		return "", fmt.Errorf("parse the server's URL: %w", err)
	}
	return u.Host, nil
}
