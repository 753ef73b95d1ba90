package relay_test

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

// before is the store's hook.
func (s *sim) before(ctx context.Context, step string) error {
	a, _ := ctx.Value(actorKey{}).(*actor)
	if a == nil {
		return nil
	}
	op, sub, isSub := strings.Cut(step, ".")
	if isSub {
		s.subStep(a, sub)
		return nil
	}
	s.mu.Lock()
	r := a.rng(op)
	lat := time.Duration(s.p.latency * float64(between(r, 50*time.Microsecond, 2*time.Millisecond)))
	fail := s.chance(r, s.p.db, op+": error before") || s.outage("db")
	hang := s.chance(r, s.p.db/4, op+": no answer, no effect")
	slow := s.chance(r, s.p.db/2, op+": slow")
	if slow {
		lat = between(r, 10*time.Millisecond, simSendTimeout*3/2)
	}
	if fail || hang || slow {
		a.fault(op)
	}
	linger := r.Float64() < 0.5 // reaches the database although the process is killed on the way
	alive := !a.killed
	s.mu.Unlock()
	err := a.gate()
	switch {
	case err != nil:
	case hang:
		<-ctx.Done()
		err = ctx.Err()
	default:
		err = pause(ctx, lat)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case a.killed && (!alive || !linger || err != nil), fail:
		err = errSim
	case err != nil:
		a.fault(op)
	}
	return err
}

// fault notes what may make a relay lose its lease.
func (a *actor) fault(op string) {
	if op == "renew" {
		a.renewFaults++
	}
}

func (s *sim) subStep(a *actor, sub string) {
	s.mu.Lock()
	r := a.rng("between")
	wait := time.Duration(0)
	if !s.healthy && r.Float64() < s.p.between {
		wait = between(r, 10*time.Microsecond, 3*time.Millisecond)
	}
	var commit *openTx
	if len(s.open) > 0 && !s.healthy && r.Float64() < s.p.commitBetween {
		commit = s.open[r.IntN(len(s.open))]
	}
	operate := !s.healthy && r.Float64() < s.p.commitBetween/4
	s.mu.Unlock()
	if wait > 0 {
		pass(wait)
	}
	if commit != nil && s.finish(commit, true) {
		s.mu.Lock()
		s.faults["commit before fetch."+sub]++
		s.mu.Unlock()
	}
	if operate {
		s.operate(r)
	}
}

// after is the store's hook.
func (s *sim) after(ctx context.Context, step string) error {
	a, _ := ctx.Value(actorKey{}).(*actor)
	if a == nil {
		return nil
	}
	s.mu.Lock()
	if step == "settle" {
		s.judgeSettled(a, a.settling)
	}
	r := a.rng(step)
	lat := time.Duration(s.p.latency * float64(between(r, 20*time.Microsecond, time.Millisecond)))
	lost := s.chance(r, s.p.db, step+": answer lost")
	slow := s.chance(r, s.p.db/2, step+": slow answer")
	late := step == "renew" && s.chance(r, s.p.lateRenew, "renew: answer taken after the lease")
	if slow {
		lat = between(r, 10*time.Millisecond, simSendTimeout*3/2)
	}
	if lost && r.IntN(2) == 0 {
		lat = simTTL
	}
	if lost || slow || late {
		a.fault(step)
	}
	stall := between(r, simTTL, 2*simTTL)
	s.mu.Unlock()
	if late {
		// The answer lies in the socket while the process stands still, and is
		// taken although its time is over.
		pass(stall)
		return a.gate()
	}
	err := pause(ctx, lat)
	if e := a.gate(); e != nil {
		err = e
	}
	if lost {
		err = errSim
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil && ctx.Err() != nil {
		err = ctx.Err()
	}
	if err != nil {
		a.fault(step)
	}
	return err
}

// call counts the calls under way: none may be left when a run returns.
func (a *actor) call() func() {
	a.s.mu.Lock()
	defer a.s.mu.Unlock()
	a.calls++
	return func() {
		a.s.mu.Lock()
		defer a.s.mu.Unlock()
		a.calls--
	}
}

// simStore is one relay's connection to the store. It sets the database's clock
// apart from the relay's: what it says is shifted, and its seconds are not quite
// as long.
type simStore struct {
	relay.Store
	a *actor
}

func (v simStore) stretch(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (1 + v.a.drift))
}

func (v simStore) Join(ctx context.Context, j relay.Join) (bool, error) {
	defer v.a.call()()
	j.TTL = v.stretch(j.TTL)
	return v.Store.Join(ctx, j)
}

func (v simStore) Renew(ctx context.Context, r relay.Renewal) (relay.Lease, error) {
	defer v.a.call()()
	s := v.a.s
	s.mu.Lock()
	s.judgeRelease(v.a, r.GiveBack)
	if len(r.Unblock) > 0 {
		s.spring(v.a, 1, "a lane is to be unblocked")
	}
	s.mu.Unlock()
	r.TTL = v.stretch(r.TTL)
	lease, err := v.Store.Renew(ctx, r)
	if err == nil {
		s.mu.Lock()
		v.a.era = lease.Era
		s.mu.Unlock()
	}
	lease.Now = lease.Now.Add(v.a.skew)
	if err == nil && len(lease.Released) > 0 {
		s.mu.Lock()
		s.spring(v.a, 0.2, "a released lane was named")
		s.mu.Unlock()
	}
	return lease, err
}

func (v simStore) Leave(ctx context.Context, id uuid.UUID, era int64, p relay.Position) error {
	defer v.a.call()()
	s := v.a.s
	s.mu.Lock()
	s.judgeLeave(v.a)
	s.mu.Unlock()
	return v.Store.Leave(ctx, id, era, p)
}

func (v simStore) Fetch(ctx context.Context, f relay.Fetch) (relay.Fetched, error) {
	defer v.a.call()()
	got, err := v.Store.Fetch(ctx, f)
	for _, scan := range got.Scans {
		for i := range scan {
			if rec := scan[i].Record; rec != nil {
				rec.CreatedAt = rec.CreatedAt.Add(v.a.skew)
			}
		}
	}
	records := [][]outbox.Record{got.Sweep.Records, got.Gaps.Records}
	for _, b := range slices.Concat(got.Destinations, got.Lanes) {
		records = append(records, b.Records)
	}
	for _, recs := range records {
		for i := range recs {
			recs[i].CreatedAt = recs[i].CreatedAt.Add(v.a.skew)
		}
	}
	return got, err
}

func (v simStore) Backlog(ctx context.Context, lows map[string]int64, limit int) (relay.Backlog, error) {
	defer v.a.call()()
	return v.Store.Backlog(ctx, lows, limit)
}

func (v simStore) Settle(ctx context.Context, id uuid.UUID, set relay.Settlement) (relay.Settled, error) {
	defer v.a.call()()
	s := v.a.s
	s.mu.Lock()
	v.a.settling = set
	s.spring(v.a, 0.1, "a settlement is under way")
	late := !v.a.killed && s.chance(v.a.rng("late settle"), s.p.lateSettle, "settle: arrives after its time")
	if late {
		v.a.settleFailing = true
		s.spring(v.a, 1, "a settlement is late")
	}
	s.mu.Unlock()
	if late {
		return relay.Settled{}, v.settleLate(ctx, id, set)
	}
	got, err := v.Store.Settle(ctx, id, set)
	s.mu.Lock()
	defer s.mu.Unlock()
	v.a.settleFailing = err != nil
	return got, err
}

// settleLate leaves a settlement on its way to the database for longer than its
// relay waits, and perhaps for longer than the relay lives.
func (v simStore) settleLate(ctx context.Context, id uuid.UUID, set relay.Settlement) error {
	s := v.a.s
	s.mu.Lock()
	travel := between(v.a.rng("late settle"), simTTL/2, 3*simTTL)
	s.mu.Unlock()
	s.wg.Go(func() {
		pass(travel)
		_, _ = v.Store.Settle(s.ctx, id, set)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.judgeSettled(v.a, set)
	})
	<-ctx.Done()
	return ctx.Err()
}
