package relay_test

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest/memory"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

const (
	simTTL         = time.Second
	simRenew       = 200 * time.Millisecond
	simSendTimeout = 200 * time.Millisecond
	simGrace       = 700 * time.Millisecond
	simMaxMessage  = 4000
)

var errSim = errors.New("injected fault")

// profile is what a seed decides about its history as a whole.
type profile struct {
	chaos                             time.Duration
	relays, writers, actors           int
	destinations, aggregates          int
	window, laneWindow, fetchLimit    int
	windowBytes, maxAttempts, entries int
	block, unknownDestination         bool
	joinWindow, latency, between      float64
	db, broker, kill, freeze, poison  float64
	manyGaps, operator, keeperAtEnd   bool
	concurrency                       int
	commitBetween                     float64
}

// sim is one history: a store, brokers, writers, relays and what happened.
type sim struct {
	seed    uint64
	p       profile
	store   *memory.Store
	brokers map[string]*memory.Broker
	ctx     context.Context
	wg      sync.WaitGroup
	started time.Time

	mu         sync.Mutex
	healthy    bool
	events     map[int64]*simEvent
	byDedup    map[string]*simEvent
	inFlight   map[outbox.Lane]*attempt
	open       []*openTx
	actors     []*actor
	outages    map[string][]span
	faults     map[string]int
	commits    int // commits so far: the order of visibility
	accepted   int // acceptances so far
	violations []string
	trace      []traceLine
}

type span struct{ from, to time.Duration }

type traceLine struct {
	at   time.Duration
	lane outbox.Lane
	text string
}

// simEvent is what the history knows of one event.
type simEvent struct {
	rec        outbox.Record
	visible    int // order of its commit, 0 when it never committed
	poison     bool
	attempts   []*attempt
	transients int
	first      int // order of its first acceptance
	deliveries int
	messageID  string
}

// attempt is one sending of one event.
type attempt struct {
	event    *simEvent
	by       *actor
	done     bool
	class    outbox.Class
	accepted bool
}

func (s *sim) stream(keys ...any) *rand.Rand {
	h := fnv.New64a()
	_, _ = fmt.Fprint(h, keys...)
	return rand.New(rand.NewPCG(s.seed, h.Sum64()))
}

func (s *sim) note(lane outbox.Lane, format string, args ...any) {
	s.trace = append(s.trace, traceLine{time.Since(s.started), lane, fmt.Sprintf(format, args...)})
}

func (s *sim) violate(lane outbox.Lane, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	s.note(lane, "VIOLATION %s", text)
	s.violations = append(s.violations, fmt.Sprintf("%v %s/%s: %s", time.Since(s.started), lane.Destination, lane.AggregateID, text))
}

func (s *sim) outage(name string) bool {
	if s.healthy {
		return false
	}
	now := time.Since(s.started)
	return slices.ContainsFunc(s.outages[name], func(o span) bool { return now >= o.from && now < o.to })
}

// chance draws a fault of a kind and counts it.
func (s *sim) chance(r *rand.Rand, p float64, kind string) bool {
	hit := r.Float64() < p
	if hit && !s.healthy {
		s.faults[kind]++
		return true
	}
	return false
}

// pause waits for d and some odd nanoseconds, so that no two things that are
// unrelated fall on the same moment.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func between(r *rand.Rand, lo, hi time.Duration) time.Duration {
	return lo + time.Duration(r.Int64N(int64(hi-lo)+1))
}

// actor is one run of a relay.
type actor struct {
	s      *sim
	name   string
	id     uuid.UUID
	cancel context.CancelFunc
	rngs   map[string]*rand.Rand

	// All below under s.mu.
	killed, running, ended bool
	thawAt                 time.Time
	freezeFor              time.Duration // asked of the loop at its next report
	frozen                 bool          // was ever
	renewFaults            int
	settleFaults           int
	calls                  int
	outcome                relay.Outcome
}

type actorKey struct{}

// unwell says whether the actor has an injected reason not to know or not to
// settle what it sent.
func (a *actor) unwell() bool {
	return a.killed || a.frozen || a.renewFaults > 0 || a.settleFaults > 0
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
	if most := s.p.window + s.p.fetchLimit; r.Held > most {
		s.violate(outbox.Lane{}, "%s holds %d events, more than %d", a.name, r.Held, most)
	}
	freeze := a.freezeFor
	a.freezeFor = 0
	if freeze > 0 && !a.killed && !s.healthy {
		a.thawAt = time.Now().Add(freeze)
		a.frozen = true
		s.faults["freeze"]++
		s.note(outbox.Lane{}, "%s is frozen for %v", a.name, freeze)
	}
	s.mu.Unlock()
	_ = a.gate()
}

// dbFault is what befalls one call to the database.
func (a *actor) dbFault(op string) {
	switch op {
	case "renew":
		a.renewFaults++
	case "settle":
		a.settleFaults++
	}
}

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
		a.dbFault(op)
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
		a.dbFault(op)
	}
	return err
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
		s.releaseOne(r)
	}
}

// after is the store's hook.
func (s *sim) after(ctx context.Context, step string) error {
	a, _ := ctx.Value(actorKey{}).(*actor)
	if a == nil {
		return nil
	}
	s.mu.Lock()
	r := a.rng(step)
	lat := time.Duration(s.p.latency * float64(between(r, 20*time.Microsecond, time.Millisecond)))
	lost := s.chance(r, s.p.db, step+": answer lost")
	slow := s.chance(r, s.p.db/2, step+": slow answer")
	if slow {
		lat = between(r, 10*time.Millisecond, simSendTimeout*3/2)
	}
	if lost && r.IntN(2) == 0 {
		lat = simTTL
	}
	if lost || slow {
		a.dbFault(step)
	}
	s.mu.Unlock()
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
		a.dbFault(step)
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

// simStore is one relay's connection to the store.
type simStore struct {
	relay.Store
	a *actor
}

func (v simStore) Renew(ctx context.Context, r relay.Renewal) (relay.Lease, error) {
	defer v.a.call()()
	return v.Store.Renew(ctx, r)
}

func (v simStore) Fetch(ctx context.Context, f relay.Fetch) (relay.Fetched, error) {
	defer v.a.call()()
	return v.Store.Fetch(ctx, f)
}

func (v simStore) Backlog(ctx context.Context, low int64, limit int) (relay.Backlog, error) {
	defer v.a.call()()
	return v.Store.Backlog(ctx, low, limit)
}

func (v simStore) Settle(ctx context.Context, id uuid.UUID, set relay.Settlement) (relay.Settled, error) {
	defer v.a.call()()
	return v.Store.Settle(ctx, id, set)
}

// config returns the configuration of a relay.
func (s *sim) config(a *actor, everything bool) relay.Config {
	policy := relay.Skip
	if s.p.block {
		policy = relay.Block
	}
	cfg := relay.Config{
		RelayID: a.id, Name: a.name, Relays: s.p.relays,
		LeaseTTL: simTTL, RenewEvery: simRenew, SendTimeout: simSendTimeout, ShutdownGrace: simGrace,
		JoinWindow: time.Duration(s.p.joinWindow * float64(time.Second)),
		Window:     s.p.window, LaneWindow: s.p.laneWindow, FetchLimit: s.p.fetchLimit, WindowBytes: s.p.windowBytes,
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
	if everything && s.p.unknownDestination {
		cfg.Destinations["late"] = relay.Destination{Sink: &simSink{s: s, a: a, name: "late"}, OnReject: policy}
	}
	spread := a.rng("spread")
	return relay.WithSpread(cfg, spread.Float64)
}

func (s *sim) newActor(name string) *actor {
	a := &actor{s: s, name: name, rngs: map[string]*rand.Rand{}}
	r := s.stream("id", name)
	for i := range a.id {
		a.id[i] = byte(r.Uint32())
	}
	s.mu.Lock()
	s.actors = append(s.actors, a)
	s.mu.Unlock()
	return a
}

// run runs a relay to its end.
func (s *sim) run(a *actor, d time.Duration, change func(*relay.Config)) {
	cfg := s.config(a, change != nil)
	if change != nil {
		change(&cfg)
	}
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
		s.violate(outbox.Lane{}, "%s ended with %d calls running", a.name, a.calls)
	}
	if sum.Outcome == relay.LeaseLost && !a.killed && !a.frozen && a.renewFaults == 0 {
		s.violate(outbox.Lane{}, "%s lost its lease without a cause", a.name)
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

func (s *sim) freeze(a *actor, d time.Duration, loop bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !a.running || s.healthy {
		return
	}
	if loop {
		a.freezeFor = d
		return
	}
	a.thawAt = time.Now().Add(d)
	a.frozen = true
	s.faults["calls stand still"]++
	s.note(outbox.Lane{}, "%s: calls stand still for %v", a.name, d)
}
