package relay_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

// actor is one run of a relay.
type actor struct {
	s      *sim
	name   string
	id     uuid.UUID
	cancel context.CancelFunc
	rngs   map[string]*rand.Rand
	// skew is the database's clock minus the relay's. drift is by how much the
	// database's runs slower.
	skew  time.Duration
	drift float64

	// All below under s.mu.
	killed, running, ended bool
	thawAt                 time.Time
	standUntil             time.Time // asked of the loop at its next report
	frozen                 bool      // was ever
	renewFaults            int
	calls, sends           int
	era                    int64 // that it knows
	outcome                relay.Outcome
	// left is set when the relay asks to leave, settleFailing while its newest
	// settlement has failed.
	left, settleFailing bool
	settling            relay.Settlement
	// accepted are the attempts that it knows to be accepted and that were not
	// seen to be settled.
	accepted map[*attempt]struct{}
	// throttled has the destinations that have throttled one of its messages.
	throttled map[string]bool
}

type actorKey struct{}

func (s *sim) newActor(name string) *actor {
	a := &actor{s: s, name: name, rngs: map[string]*rand.Rand{}, accepted: map[*attempt]struct{}{}, throttled: map[string]bool{}}
	r := s.stream("id", name)
	for i := range a.id {
		a.id[i] = byte(r.Uint32())
	}
	if s.p.skewed {
		limit := []time.Duration{time.Millisecond, time.Second, time.Minute, time.Hour}[r.IntN(4)]
		a.skew = between(r, -limit, limit)
		a.drift = simDrift * (2*r.Float64() - 1)
	}
	s.mu.Lock()
	s.actors = append(s.actors, a)
	s.mu.Unlock()
	return a
}

// dead says whether the actor is no longer known to the store, without having
// left, and has an injected reason for that. Then another may send what it has
// not marked.
func (a *actor) dead() bool {
	return !a.left && (a.killed || a.frozen || a.renewFaults > 0) && !a.s.store.Running(a.id)
}

func (a *actor) rng(op string) *rand.Rand {
	if r := a.rngs[op]; r != nil {
		return r
	}
	r := a.s.stream("actor", a.name, op)
	a.rngs[op] = r
	return r
}

// gate stands still while the actor is frozen, whatever the caller's deadline.
func (a *actor) gate() error {
	for {
		a.s.mu.Lock()
		killed, wait := a.killed, time.Until(a.thawAt)
		a.s.mu.Unlock()
		if killed {
			return errSim
		}
		if wait <= 0 {
			return nil
		}
		pass(wait)
	}
}

// Observe implements relay.Observer. The loop itself freezes in it.
func (a *actor) Observe(r *relay.Report) {
	s := a.s
	s.mu.Lock()
	if most := s.p.window + s.p.fetchLimit; r.Buffered > most {
		s.violate(buffersTooMuch, outbox.Lane{}, "%s buffers %d events, more than %d", a.name, r.Buffered, most)
	}
	for name, d := range r.ByDestination {
		if a.throttled[name] = a.throttled[name] || d.Throttled > 0; !a.throttled[name] && d.Concurrency < min(8, s.p.concurrency) {
			s.violate(fewCalls, outbox.Lane{Destination: name}, "%s allows %d calls in flight", a.name, d.Concurrency)
		}
	}
	for _, latency := range r.Latencies {
		// Counted by the database's clock, whose offset is known to half a round
		// trip, and to what the drift makes of the longest silence.
		if most := time.Since(s.started) + 2*simTTL; latency > most {
			s.violate(wrongClock, outbox.Lane{}, "%s tells of a latency of %v after %v", a.name, latency, most)
			break
		}
	}
	if now := time.Now(); a.standUntil.After(now) && !a.killed && !s.healthy {
		a.thawAt = a.standUntil
		a.frozen = true
		s.faults["freeze"]++
		s.note(outbox.Lane{}, "%s is frozen for %v", a.name, a.thawAt.Sub(now))
	}
	s.mu.Unlock()
	_ = a.gate()
}

// config returns the configuration of a relay.
func (s *sim) config(a *actor) relay.Config {
	policy := relay.Skip
	if s.p.block {
		policy = relay.Block
	}
	cfg := relay.Config{
		RelayID: a.id, Name: a.name, Relays: s.p.relays,
		LeaseTTL: simTTL, RenewEvery: simRenew, SendTimeout: simSendTimeout, ShutdownGrace: simGrace,
		JoinWindow: time.Duration(s.p.joinWindow * float64(time.Second)),
		Window:     s.p.window, LaneWindow: s.p.laneWindow, FetchLimit: s.p.fetchLimit, WindowBytes: s.p.windowBytes,
		FetchBytes:  s.p.fetchBytes,
		Concurrency: s.p.concurrency, MaxAttempts: s.p.maxAttempts,
		PollBusy: 3 * time.Millisecond, PollIdle: 40 * time.Millisecond,
		RetryMin: 10 * time.Millisecond, RetryMax: 300 * time.Millisecond,
		SweepEvery:  -1, // it would find what another fault has lost
		SettleEvery: 4 * time.Millisecond, SettleLimit: 20,
		ReportEvery: 97 * time.Millisecond, Observer: a,
		Logger:       slog.New(slog.DiscardHandler),
		Destinations: map[string]relay.Destination{},
	}
	for i := range s.p.destinations {
		name := fmt.Sprint("d", i)
		cfg.Destinations[name] = relay.Destination{Sink: &simSink{s: s, a: a, name: name}, OnReject: policy}
	}
	if s.p.unknownDestination {
		cfg.Destinations["late"] = relay.Destination{Sink: &simSink{s: s, a: a, name: "late"}, OnReject: policy}
	}
	spread := a.rng("spread")
	cfg = relay.WithLanes(cfg, func(from, to string) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.violate(illegalState, outbox.Lane{}, "%s: a lane went from %s to %s", a.name, from, to)
	})
	return relay.WithGapIDs(relay.WithExamine(relay.WithSpread(cfg, spread.Float64), s.p.examine), s.p.gapIDs)
}

// run runs a relay to its end.
func (s *sim) run(a *actor, d time.Duration, change func(*relay.Config)) {
	cfg := s.config(a)
	change(&cfg)
	rel, err := relay.New(simStore{s.store, a}, cfg)
	if err != nil {
		panic(err)
	}
	ctx, cancel := context.WithCancel(context.WithValue(s.ctx, actorKey{}, a))
	defer cancel()
	s.mu.Lock()
	a.cancel, a.running = cancel, true
	s.note(outbox.Lane{}, "%s starts for %v", a.name, d)
	s.mu.Unlock()
	sum, err := rel.Run(ctx, time.Now().Add(d))
	s.mu.Lock()
	defer s.mu.Unlock()
	a.running, a.ended, a.outcome = false, true, sum.Outcome
	s.faults["outcome: "+string(sum.Outcome)]++
	s.note(outbox.Lane{}, "%s ended: %s %v", a.name, sum.Outcome, err)
	if a.calls != 0 {
		s.violate(leftRunning, outbox.Lane{}, "%s ended with %d calls running", a.name, a.calls)
	}
	if sum.Outcome == relay.LeaseLost && !a.killed && !a.frozen && a.renewFaults == 0 {
		s.violate(lostLease, outbox.Lane{}, "%s lost its lease without a cause", a.name)
	}
}

func (s *sim) kill(a *actor) {
	s.mu.Lock()
	if !a.running || a.killed || s.healthy {
		s.mu.Unlock()
		return
	}
	a.killed = true
	s.faults["kill"]++
	s.note(outbox.Lane{}, "%s is killed", a.name)
	s.mu.Unlock()
	a.cancel()
}

// stop ends a run as its context or its deadline would.
func (s *sim) stop(a *actor) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !a.running || a.killed || s.healthy {
		return
	}
	s.faults["end in the middle"]++
	s.note(outbox.Lane{}, "%s is told to end", a.name)
	a.cancel()
}

func (s *sim) freeze(a *actor, d time.Duration, loop bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !a.running || s.healthy {
		return
	}
	if loop {
		a.standUntil = time.Now().Add(d)
		return
	}
	a.thawAt = time.Now().Add(d)
	a.frozen = true
	s.faults["calls stand still"]++
	s.note(outbox.Lane{}, "%s: calls stand still for %v", a.name, d)
}

// spring ends, kills or freezes a relay a moment from now, with a share of the
// chance of profile.trap, and says whether it will. The caller holds s.mu.
func (s *sim) spring(a *actor, share float64, why string) bool {
	r := a.rng("trap")
	if s.healthy || !a.running || r.Float64() >= share*s.p.trap {
		return false
	}
	s.faults["trap: "+why]++
	wait, freeze := between(r, 0, 20*time.Millisecond), between(r, simTTL/2, 3*simTTL)
	what := r.IntN(4)
	s.wg.Go(func() {
		pass(wait)
		switch what {
		case 0:
			s.kill(a)
		case 1:
			s.stop(a)
		default:
			s.freeze(a, freeze, what == 2)
		}
	})
	return true
}
