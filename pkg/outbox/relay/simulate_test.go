package relay_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"hash/fnv"
	"io"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/history"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/memory"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

var (
	simulateN     = flag.Int("simulate.n", 100, "histories that TestSimulate makes")
	simulateSeed  = flag.Uint64("simulate.seed", 1, "seed of the first history; the others follow it")
	simulateTrace = flag.Bool("simulate.trace", false, "print a hash of each trace, and the whole trace of a failure")
	simulateFails = flag.Int("simulate.fails", 3, "failing histories after which TestSimulate stops")
	simulateKinds = flag.String("simulate.kinds", "", "kinds of verdicts, with commas between, that alone count for -simulate.fails")
	simulateJudge = flag.String("simulate.verdicts", "", "file to write a line of JSON to for each failing history")
)

// TestSimulate makes random histories in virtual time and judges each. With
// -cpu 1 a seed makes the same history again, but for the order of goroutines
// that wake at the same moment.
func TestSimulate(t *testing.T) {
	t.Parallel()
	var next, failed atomic.Int64
	var mu sync.Mutex
	faults := map[string]int{}
	var histories, events int
	var seeds []uint64
	verdicts := io.Discard
	if *simulateJudge != "" {
		f, err := os.Create(*simulateJudge)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = f.Close() }()
		verdicts = f
	}
	began := time.Now()
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for {
				n := next.Add(1) - 1
				if n >= int64(*simulateN) || failed.Load() >= int64(*simulateFails) {
					return
				}
				s := simulate(t, *simulateSeed+uint64(n))
				mu.Lock()
				histories++
				events += len(s.events)
				for k, v := range s.faults {
					faults[k] += v
				}
				if *simulateTrace {
					t.Logf("seed %d: trace %016x of %d lines", s.seed, s.hash(), len(s.trace))
				}
				if len(s.violations) > 0 {
					if s.counts() {
						failed.Add(1)
					}
					if err := s.report(verdicts); err != nil {
						t.Error(err)
					}
					seeds = append(seeds, s.seed)
					if int64(len(seeds)) <= int64(*simulateFails) {
						t.Error(s.story())
					}
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(seeds) > 0 {
		slices.Sort(seeds)
		t.Errorf("%d of %d histories failed: seeds %v", len(seeds), histories, seeds)
	}
	if histories == 0 {
		t.Error("no history was made")
	}
	t.Logf("%d histories, %d events, %.0f histories/min", histories, events, float64(histories)/time.Since(began).Minutes())
	for _, k := range slices.Sorted(maps.Keys(faults)) {
		t.Logf("%8d %s", faults[k], k)
	}
}

// simulate makes the history of a seed.
func simulate(t *testing.T, seed uint64) (s *sim) {
	t.Helper()
	s = &sim{
		seed: seed, events: map[int64]*simEvent{}, byID: map[uuid.UUID]*simEvent{}, inFlight: map[outbox.Lane]*attempt{},
		faults: map[string]int{}, outages: map[string][]span{}, brokers: map[string]*memory.Broker{"late": {}},
		messages: map[string]bool{},
	}
	defer func() {
		p := recover()
		switch {
		case p == nil:
		case strings.Contains(fmt.Sprint(p), "blocked goroutines remain"):
			// The history was judged, and then something was still there.
			s.violate(leftRunning, outbox.Lane{}, "seed %d: %v", seed, p)
		default:
			panic(fmt.Sprintf("seed %d: %v", seed, p))
		}
	}()
	s.plan()
	synctest.Test(t, func(t *testing.T) {
		s.store = memory.NewStore()
		s.store.Before, s.store.After = s.before, s.after
		s.record = history.New()
		s.started = time.Now()
		s.ctx = t.Context()
		s.play()
		s.wg.Wait()
		s.check()
	})
	return s
}

// plan draws what holds for the whole history.
func (s *sim) plan() {
	r := s.stream("plan")
	pick := func(xs ...float64) float64 { return xs[r.IntN(len(xs))] }
	p := &s.p
	p.chaos = between(r, time.Second, 4*time.Second)
	p.relays = 1 + r.IntN(3)
	p.writers = 1 + r.IntN(4)
	p.actors = 1 + r.IntN(7)
	p.destinations = 1 + r.IntN(3)
	p.aggregates = 2 + r.IntN(12)
	p.window = 6 + r.IntN(60)
	p.laneWindow = 1 + r.IntN(8)
	p.fetchLimit = 2 + r.IntN(14)
	p.fetchBytes = []int{0, 0, 1, 60, 300, 1_000}[p.fetchLimit%6]
	p.windowBytes = int(pick(64<<20, 64<<20, 64<<20, 20_000, 200_000))
	p.maxAttempts = int(pick(20, 20, 4))
	p.entries = 1 + r.IntN(10)
	p.block = r.IntN(2) == 0
	p.unknownDestination = r.IntN(6) == 0
	p.joinWindow = pick(0.001, 0.3, 1, 3)
	p.latency = pick(0.2, 1, 1, 4)
	p.between = pick(0, 0.1, 0.5)
	p.commitBetween = pick(0, 0.02, 0.1)
	p.db = pick(0, 0, 0.01, 0.05, 0.2)
	p.broker = pick(0, 0, 0.02, 0.1, 0.3)
	p.kill = pick(0, 0, 0.4)
	p.freeze = pick(0, 0.3, 0.9)
	p.poison = pick(0, 0.02, 0.1)
	p.operator = r.IntN(4) != 0
	p.keeperAtEnd = r.IntN(2) == 0
	p.concurrency = 1 + r.IntN(16)
	p.manyGaps = r.IntN(100) == 0
	p.examine = int(pick(5000, 5000, 2, 10))
	p.gapIDs = int64(s.stream("gap ids").IntN(2) * (1 + s.stream("gap ids", 1).IntN(12))) // 0 is the default
	p.subset = pick(0, 0, 0.1, 0.5)
	p.trap = pick(0, 0, 0.3, 1)
	p.lateRenew = pick(0, 0, 0.02, 0.1)
	p.redrive = pick(0, 0.3)
	p.skewed = r.IntN(2) == 0
	p.lateSettle = pick(0, 0, 0.05, 0.3)
	if p.busyOperator = r.IntN(4) == 0; p.busyOperator {
		p.block, p.operator = true, true
		p.poison, p.trap, p.kill = 0.2, 1, 0.4
	}
	if r.IntN(8) == 0 {
		p.quiet = between(r, p.chaos/4, p.chaos)
		p.silence = between(r, memory.DedupWindow-5*time.Second, memory.DedupWindow+time.Minute)
		p.chaos += p.silence
	}
	for i := range p.destinations {
		name := fmt.Sprint("d", i)
		s.brokers[name] = &memory.Broker{}
		if r.IntN(5) == 0 {
			from := between(r, 0, p.chaos)
			s.outages[name] = []span{{from, from + between(r, 0, 1500*time.Millisecond)}}
		}
	}
	if r.IntN(8) == 0 {
		from := between(r, 0, p.chaos)
		s.outages["db"] = []span{{from, from + between(r, 0, 2*simTTL)}}
	}
	if r.IntN(3) == 0 {
		// The deduplication id of a redrive that was lost and is made again is not new.
		p.failovers, p.lag, p.redrive = 1+r.IntN(2), between(r, time.Millisecond, 500*time.Millisecond), 0
	}
	r = s.stream("plan of mute lanes")
	p.mute = max(0, r.IntN(6)-3)
	r = s.stream("plan of outages by entry")
	for i := range p.destinations {
		if r.IntN(4) == 0 {
			from := between(r, 0, p.chaos)
			s.outages[byEntry(fmt.Sprint("d", i))] = []span{{from, from + between(r, time.Second, 4*time.Second)}}
			p.maxAttempts = 2 + r.IntN(3)
		}
	}
}

// play is the history: chaos, then faults stop and what runs must drain, then
// a last relay takes over and finds nothing to do.
func (s *sim) play() {
	for i := range s.p.writers {
		s.wg.Go(func() { s.writer(i) })
	}
	if s.p.manyGaps {
		s.wg.Go(s.gapMaker)
	}
	s.wg.Go(s.operator)
	s.wg.Go(s.failovers)
	if s.p.silence > 0 {
		s.wg.Go(s.fallSilent)
	}
	var runs sync.WaitGroup
	for i := range s.p.actors {
		s.life(i, &runs)
	}
	pass(s.p.chaos)
	s.mu.Lock()
	s.healthy = true
	s.note(outbox.Lane{}, "faults stop")
	s.mu.Unlock()
	s.drain(&runs)
	if s.p.unknownDestination {
		pass(3 * simTTL) // relays that lost their lease are replaced, and what shards brought along is read
	}
	s.mu.Lock()
	for _, a := range s.actors {
		if a.running {
			a.cancel()
		}
	}
	s.mu.Unlock()
	runs.Wait()
	s.judgePositions()
	last := s.newActor("last")
	s.run(last, time.Minute, func(c *relay.Config) {
		c.IdleExit = 300 * time.Millisecond
		c.JoinWindow = 24 * time.Hour // a lease whose end was lost is still in the table
	})
	if last.outcome != relay.Idle {
		s.mu.Lock()
		s.violate(stuck, outbox.Lane{}, "the last relay never became idle: %s", last.outcome)
		s.mu.Unlock()
	}
}

// fallSilent lets every relay stand still for about as long as a broker
// remembers.
func (s *sim) fallSilent() {
	r := s.stream("silence")
	pass(s.p.quiet)
	s.mu.Lock()
	actors := slices.Clone(s.actors)
	s.mu.Unlock()
	for _, a := range actors {
		d := s.p.silence + between(r, -2*time.Second, 2*time.Second)
		s.freeze(a, d, true)
		if r.IntN(2) == 0 {
			s.freeze(a, d, false)
		}
	}
}

// life plans the life of one relay.
func (s *sim) life(i int, runs *sync.WaitGroup) {
	r := s.stream("life", i)
	name := fmt.Sprint("r", i)
	start := between(r, 0, s.p.chaos-s.p.silence)
	if i == 0 {
		start = between(r, 0, 50*time.Millisecond)
	}
	start = s.afterSilence(start)
	d := between(r, 300*time.Millisecond, 3*time.Second)
	if r.IntN(4) == 0 {
		d = time.Hour
	}
	idle := time.Duration(0)
	if r.IntN(8) == 0 {
		idle = between(r, 100*time.Millisecond, time.Second)
	}
	kill, killAt := r.Float64() < s.p.kill, between(r, time.Millisecond, min(d, 2*time.Second))
	type frost struct {
		at, length time.Duration
		loop       bool
	}
	var frosts []frost
	for range 3 {
		f := frost{between(r, time.Millisecond, min(d, 2*time.Second)), between(r, 100*time.Millisecond, 3*simTTL), r.IntN(3) != 0}
		if r.Float64() < s.p.freeze {
			frosts = append(frosts, f)
		}
	}
	runs.Go(func() {
		pass(start)
		a := s.newActor(name)
		if kill {
			s.wg.Go(func() {
				pass(killAt)
				s.kill(a)
			})
		}
		for _, f := range frosts {
			s.wg.Go(func() {
				pass(f.at)
				s.freeze(a, f.length, f.loop)
			})
		}
		change := func(c *relay.Config) {
			c.IdleExit = idle
			delete(c.Destinations, "late")
		}
		s.run(a, d, change)
	})
}

// drain waits until everything that can be delivered is, with the relays that
// run. Where none does, one starts.
func (s *sim) drain(runs *sync.WaitGroup) {
	if s.p.keeperAtEnd {
		s.keep(runs, 0)
	}
	for n := range 1200 {
		s.mu.Lock()
		quiet := len(s.open) == 0
		anyone := slices.ContainsFunc(s.actors, func(a *actor) bool { return a.running && !a.killed && time.Until(a.thawAt) < simTTL })
		s.mu.Unlock()
		if n == 4 && s.p.operator {
			r := s.stream("last releases")
			for len(s.blockedLanes()) > 0 && r.IntN(3) != 0 {
				s.releaseOne(r)
			}
		}
		if n > 8 && quiet && s.waiting() == 0 {
			return
		}
		if !anyone {
			s.keep(runs, n+1)
		}
		pass(100 * time.Millisecond)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.violate(stuck, outbox.Lane{}, "two minutes after the last fault there are still events that nobody sends")
	for id, e := range s.events {
		if e.visible && !s.store.IsSent(id) && !s.store.IsDead(id) && !s.store.IsBlocked(e.rec.Lane()) && e.rec.Destination != "late" {
			s.violate(stuck, e.rec.Lane(), "event %d waits", id)
			return
		}
	}
}

func (s *sim) keep(runs *sync.WaitGroup, n int) {
	a := s.newActor(fmt.Sprint("keeper", n))
	s.mu.Lock()
	a.running = true
	a.cancel = func() {}
	s.mu.Unlock()
	runs.Go(func() {
		s.run(a, time.Hour, func(c *relay.Config) {
			c.JoinWindow = 24 * time.Hour
			delete(c.Destinations, "late")
		})
	})
}

// counts says whether the history failed in one of the ways asked for.
func (s *sim) counts() bool {
	kinds := strings.Split(*simulateKinds, ",")
	return *simulateKinds == "" || slices.ContainsFunc(s.violations, func(v violation) bool { return slices.Contains(kinds, string(v.Kind)) })
}

// report writes the verdict on a history that failed: the first violation of
// each kind.
func (s *sim) report(w io.Writer) error {
	var first []violation
	for _, v := range s.violations {
		if !slices.ContainsFunc(first, func(x violation) bool { return x.Kind == v.Kind }) {
			first = append(first, v)
		}
	}
	return json.NewEncoder(w).Encode(struct {
		Seed       uint64      `json:"seed"`
		Violations []violation `json:"violations"`
	}{s.seed, first})
}

func (s *sim) hash() uint64 {
	h := fnv.New64a()
	for _, l := range s.trace {
		_, _ = fmt.Fprintln(h, l.at, l.lane, l.text)
	}
	return h.Sum64()
}

// story tells what went wrong: the violations, and what happened to the first
// guilty lane.
func (s *sim) story() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d: %+v\n", s.seed, s.p)
	for i, v := range s.violations {
		if i == 5 {
			fmt.Fprintf(&b, "... %d more\n", len(s.violations)-5)
			break
		}
		fmt.Fprintln(&b, v.Kind, v.Text)
	}
	at := slices.IndexFunc(s.trace, func(l traceLine) bool { return strings.HasPrefix(l.text, "VIOLATION") && l.lane != outbox.Lane{} })
	var lines []string
	for _, l := range s.trace {
		if *simulateTrace || l.lane == (outbox.Lane{}) || at >= 0 && l.lane == s.trace[at].lane {
			lines = append(lines, fmt.Sprintf("  %12v %s/%s %s", l.at, l.lane.Destination, l.lane.AggregateID, l.text))
		}
	}
	if n := len(lines); n > 150 && !*simulateTrace {
		lines = append(lines[:30], append([]string{"  ..."}, lines[n-120:]...)...)
	}
	b.WriteString(strings.Join(lines, "\n"))
	return b.String()
}
