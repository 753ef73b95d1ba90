//go:build unix

package chaos

import (
	"context"
	"time"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/faultproxy"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/rig"
)

// pathFault causes a fault of p, the proxy between the relay and PostgreSQL or between the relay and the fake
// of SNS and SQS, ends it after i.lasts, and returns how often it had an effect.
type pathFault func(ctx context.Context, p *faultproxy.Proxy, i *injection) (int, error)

// onTheWayTo returns a fault that causes do on the way to PostgreSQL, for the area database, or else to the
// fake of SNS and SQS. It records the time for which do ran as the time of the fault.
func onTheWayTo(to area, do pathFault) inject {
	return func(w *world, ctx context.Context, i *injection) (int, error) {
		proxy := w.ToBroker
		if to == database {
			proxy = w.ToDatabase
		}
		from := time.Now()
		n, err := do(ctx, proxy, i)
		w.excuse(i, from, time.Now())
		return n, err
	}
}

// cut is a fault that closes all connections and refuses new ones.
func cut(ctx context.Context, p *faultproxy.Proxy, i *injection) (int, error) {
	p.Refuse(true)
	p.Cut()
	defer p.Refuse(false)
	return 1, rig.Pause(ctx, i.lasts)
}

// reset is a fault that resets all connections every 60 ms, and returns how many were reset.
func reset(ctx context.Context, p *faultproxy.Proxy, i *injection) (int, error) {
	n := 0
	for end := time.Now().Add(i.lasts); time.Now().Before(end); {
		n += p.Reset()
		if err := rig.Pause(ctx, 60*time.Millisecond); err != nil {
			return n, err
		}
	}
	return n, nil
}

// slow returns a fault that delays all data, in each direction, by the same time, of 50 to most milliseconds.
func slow(most int64) pathFault {
	return func(ctx context.Context, p *faultproxy.Proxy, i *injection) (int, error) {
		p.Delay(i.between(50, most))
		defer p.Delay(0)
		return 1, rig.Pause(ctx, i.lasts)
	}
}

// stall is a fault during which no data passes.
func stall(ctx context.Context, p *faultproxy.Proxy, i *injection) (int, error) {
	p.Stall(true)
	defer p.Stall(false)
	return 1, rig.Pause(ctx, i.lasts)
}
