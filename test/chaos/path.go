//go:build unix

package chaos

import (
	"context"
	"time"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/faultproxy"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/rig"
)

// pathFault causes a fault of the proxy between the relay and PostgreSQL, or between the relay and the fake,
// ends it, and returns how often it had an effect.
type pathFault func(ctx context.Context, p *faultproxy.Proxy, i *injection) (int, error)

// onTheWayTo returns the injection of a fault into the path to PostgreSQL or to the
// fake. The whole time of the fault is excused.
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

// resetEvery is the time between the resets of one fault.
const resetEvery = 60 * time.Millisecond

// cut is a fault during which there are no connections.
func cut(ctx context.Context, p *faultproxy.Proxy, i *injection) (int, error) {
	p.Refuse(true)
	p.Cut()
	defer p.Refuse(false)
	return 1, rig.Pause(ctx, i.lasts)
}

// reset is a fault that resets all connections every 60 ms, and counts them.
func reset(ctx context.Context, p *faultproxy.Proxy, i *injection) (int, error) {
	n := 0
	for end := time.Now().Add(i.lasts); time.Now().Before(end); {
		n += p.Reset()
		if err := rig.Pause(ctx, resetEvery); err != nil {
			return n, err
		}
	}
	return n, nil
}

// slow returns a fault that delays all data by 50 milliseconds at least and by most
// at most.
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
