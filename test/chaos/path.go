//go:build unix

package chaos

import (
	"context"
	"time"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/faultproxy"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/rig"
)

// path is the proxy on the way from the relay to PostgreSQL or to the fake.
type path struct{ *faultproxy.Proxy }

// resetEvery is the time between the resets of one fault.
const resetEvery = 60 * time.Millisecond

// cut returns a fault during which there are no connections.
func (p path) cut(lasts time.Duration) func(context.Context) (int, error) {
	return func(ctx context.Context) (int, error) {
		p.Refuse(true)
		p.Cut()
		defer p.Refuse(false)
		return 1, rig.Pause(ctx, lasts)
	}
}

// reset returns a fault that resets all connections every 60 ms, and counts them.
func (p path) reset(lasts time.Duration) func(context.Context) (int, error) {
	return func(ctx context.Context) (int, error) {
		n := 0
		for end := time.Now().Add(lasts); time.Now().Before(end); {
			n += p.Reset()
			if err := rig.Pause(ctx, resetEvery); err != nil {
				return n, err
			}
		}
		return n, nil
	}
}

// slow returns a fault that delays all data by d.
func (p path) slow(lasts, d time.Duration) func(context.Context) (int, error) {
	return func(ctx context.Context) (int, error) {
		p.Delay(d)
		defer p.Delay(0)
		return 1, rig.Pause(ctx, lasts)
	}
}

// stall returns a fault during which no data passes.
func (p path) stall(lasts time.Duration) func(context.Context) (int, error) {
	return func(ctx context.Context) (int, error) {
		p.Stall(true)
		defer p.Stall(false)
		return 1, rig.Pause(ctx, lasts)
	}
}
