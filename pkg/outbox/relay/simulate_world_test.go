package relay_test

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/history"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/memory"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

const (
	simTTL         = time.Second
	simRenew       = 200 * time.Millisecond
	simSendTimeout = 200 * time.Millisecond
	simGrace       = 700 * time.Millisecond
	simMaxMessage  = 4000
	// simDrift is by how much the clock of a relay runs faster or slower than
	// the database's: 500 ppm is the most that chrony slews by default.
	simDrift = 500e-6
)

var errSim = errors.New("injected fault")

// profile is what a seed decides about its history as a whole.
type profile struct {
	chaos                             time.Duration
	relays, writers, actors           int
	destinations, aggregates          int
	window, laneWindow, fetchLimit    int
	windowBytes, maxAttempts, entries int
	// fetchBytes is relay.Config.FetchBytes, 0 for its default. The content of an event has about 20 bytes.
	fetchBytes                       int
	block, unknownDestination        bool
	joinWindow, latency, between     float64
	db, broker, kill, freeze, poison float64
	manyGaps, operator, keeperAtEnd  bool
	concurrency, examine             int
	// gapIDs is how many ids of gaps each fetch reads.
	gapIDs                int64
	commitBetween, subset float64
	// trap is the chance that a relay is ended, killed or frozen just after
	// something began that may not be cut short.
	trap, lateRenew, lateSettle, redrive float64
	// busyOperator: lanes are blocked and released all the time.
	busyOperator bool
	// silence, from quiet on, is longer than a broker remembers.
	quiet, silence time.Duration
	skewed         bool
	// mute is what becomes of calls with an event of one in four lanes: with 1 they are reset, with 2 never answered.
	mute int
	// failovers is how often a standby is promoted that lacks the last commits, lag how many of them at most.
	failovers int
	lag       time.Duration
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

	mu       sync.Mutex
	healthy  bool
	events   map[int64]*simEvent
	byID     map[uuid.UUID]*simEvent
	inFlight map[outbox.Lane]*attempt
	open     []*openTx
	actors   []*actor
	outages  map[string][]span
	faults   map[string]int
	record   *history.Recorder
	messages map[string]bool // ids of messages that a broker has delivered
	clock    time.Time
	// failedOver is set from the first failover on.
	failedOver bool
	violations []violation
	trace      []traceLine
}

type span struct{ from, to time.Duration }

type traceLine struct {
	at   time.Duration
	lane outbox.Lane
	text string
}

// violation is a promise that was broken: one of the kinds of package history,
// or of the rules that only hold while a relay runs.
type violation struct {
	Kind history.Kind `json:"kind"`
	Text string       `json:"text"`
	lane outbox.Lane
}

// simEvent is what the history knows of one event.
type simEvent struct {
	rec     outbox.Record
	visible bool
	// lost: a failover lost the commit.
	lost        bool
	poison      bool
	replays     int
	attempts    []*attempt
	ownFailures int       // transient ones that may be charged to it
	first       time.Time // when it was first accepted
}

// attempt is one sending of one event.
type attempt struct {
	event *simEvent
	by    *actor
	// era is the one that the relay knew.
	era  int64
	sink *simSink
	// done: the relay learned class at learned, which no other learned equals. at is the same time, not made unique.
	done        bool
	class       outbox.Class
	learned, at time.Time
	// accepted: the broker took it. travels: it may still reach the broker.
	// pardoned: its relay left without having been able to mark it.
	accepted, travels, pardoned bool
	// unanswered: the outcome of every event of its call was unknown. It is forgotten with the relay's memory of the event.
	unanswered bool
	// cause is why the event may be sent once more after it.
	cause   history.CauseKind
	causeAt time.Time
}

func (s *sim) stream(keys ...any) *rand.Rand {
	h := fnv.New64a()
	_, _ = fmt.Fprint(h, keys...)
	return rand.New(rand.NewPCG(s.seed, h.Sum64()))
}

// now returns a time of its own for everything that is recorded, so that what
// happens at one moment has an order.
func (s *sim) now() time.Time {
	s.clock = s.clock.Add(1)
	if now := time.Now(); now.After(s.clock) {
		s.clock = now
	}
	return s.clock
}

func (s *sim) note(lane outbox.Lane, format string, args ...any) {
	s.trace = append(s.trace, traceLine{time.Since(s.started), lane, fmt.Sprintf(format, args...)})
}

func (s *sim) violate(kind history.Kind, lane outbox.Lane, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	s.note(lane, "VIOLATION %s: %s", kind, text)
	s.violations = append(s.violations, violation{kind, fmt.Sprintf("%v %s/%s: %s", time.Since(s.started), lane.Destination, lane.AggregateID, text), lane})
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

// pause waits for d or until ctx ends.
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

// afterSilence returns when something planned for t happens.
func (s *sim) afterSilence(t time.Duration) time.Duration {
	if s.p.silence > 0 && t > s.p.quiet {
		return t + s.p.silence
	}
	return t
}
