package relay_test

import (
	"strings"
	"testing"
	"time"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/memory"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

// A configuration that is taken keeps what the protocol rests on: a call ends
// within the lease, a lease outlives a renewal that failed, and both are far
// below the broker's memory of five minutes.
func FuzzConfig(f *testing.F) {
	f.Add(int64(6*time.Second), int64(time.Second), int64(2*time.Second), 1, 20_000, int64(0))
	f.Add(int64(0), int64(0), int64(0), 0, 0, int64(-1))
	f.Add(int64(time.Minute), int64(30*time.Second), int64(30*time.Second), 64, 1, int64(1))
	f.Add(int64(6*time.Second), int64(1<<62), int64(1<<62), 1, 1, int64(0))
	f.Add(int64(1<<62), int64(1<<61), int64(1<<62), 65, -1, int64(1<<62))
	f.Fuzz(func(t *testing.T, lease, renew, send int64, relays, window int, idle int64) {
		c := relay.Config{
			Destinations: map[string]relay.Destination{"d": {Sink: &memory.Broker{}}},
			LeaseTTL:     time.Duration(lease), RenewEvery: time.Duration(renew), SendTimeout: time.Duration(send),
			Relays: relays, Window: window, IdleExit: time.Duration(idle),
		}
		if _, err := relay.New(nil, c); err != nil {
			if !strings.HasPrefix(err.Error(), "relay config: ") {
				t.Errorf("%v", err)
			}
			return
		}
		or := func(v, otherwise time.Duration) time.Duration {
			if v == 0 {
				return otherwise
			}
			return v
		}
		ttl, every, timeout := or(c.LeaseTTL, relay.DefaultLeaseTTL), or(c.RenewEvery, relay.DefaultRenewEvery), or(c.SendTimeout, relay.DefaultSendTimeout)
		if ttl > time.Minute || every <= 0 || every > ttl/2 || timeout <= 0 || timeout > ttl-every || relays < 0 || relays > 64 || window < 0 || idle < 0 {
			t.Errorf("taken: lease %v, renewal %v, send %v, %d relays, window %d, idle %v", ttl, every, timeout, relays, window, time.Duration(idle))
		}
	})
}
