package relay_test

import (
	"context"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/history"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

// simSink is one relay's connection to one broker.
type simSink struct {
	s    *sim
	a    *actor
	name string
	// succeeded is when the relay last learned that an event was accepted here, under s.mu.
	succeeded time.Time
}

// Limits implements outbox.Sink.
func (k *simSink) Limits() outbox.Limits {
	return outbox.Limits{Entries: k.s.p.entries, MessageBytes: simMaxMessage, BatchBytes: 2 * simMaxMessage}
}

// byEntry names the outage of a destination in which calls are answered and each entry fails.
func byEntry(destination string) string { return destination + " by entry" }

// fate is what is to become of one call.
type fate struct {
	out, back   time.Duration
	whole       outbox.Class // of a call that never reaches the broker, else Accepted
	lost        bool         // the answer is lost
	short       bool         // the answer lacks its last entry
	nonsense    bool         // the last entry has a class that does not exist
	beforeWire  bool         // a freeze on the way holds the request up
	entries     []outbox.Class
	entryUnsure []bool // accepted, but reported as unknown
}

// isMute says whether the broker does not answer calls with the message.
func (s *sim) isMute(m outbox.Message) bool {
	h := fnv.New64a()
	_, _ = fmt.Fprint(h, s.seed, m.GroupID)
	return !s.healthy && s.p.mute > 0 && h.Sum64()%4 == 0
}

func (k *simSink) draw(msgs []outbox.Message) fate {
	n := len(msgs)
	s, r, p := k.s, k.a.rng("publish/"+k.name), k.s.p.broker
	f := fate{
		out:     time.Duration(s.p.latency * float64(between(r, time.Millisecond, 8*time.Millisecond))),
		back:    time.Duration(s.p.latency * float64(between(r, time.Millisecond, 8*time.Millisecond))),
		whole:   outbox.Accepted,
		entries: make([]outbox.Class, n), entryUnsure: make([]bool, n),
	}
	f.beforeWire = r.IntN(2) == 0
	switch {
	case s.outage(k.name):
		f.whole = outbox.Unavailable
		s.faults["publish: outage"]++
	case s.p.mute > 0 && slices.ContainsFunc(msgs, s.isMute):
		if s.faults["publish: a mute lane"]++; s.p.mute == 1 {
			f.whole = outbox.Unknown
		} else {
			f.back = 2 * simSendTimeout
		}
	case s.chance(r, p, "publish: answer lost"):
		f.lost = true
	case s.chance(r, p/2, "publish: reset before the broker"):
		f.whole = outbox.Unknown
	case s.chance(r, p/2, "publish: unavailable"):
		f.whole = outbox.Unavailable
	case s.chance(r, p/2, "publish: throttled"):
		f.whole = outbox.Throttled
	case s.chance(r, p/2, "publish: accepted after the timeout"):
		f.out = between(r, simSendTimeout, 10*simSendTimeout)
	case s.chance(r, p/2, "publish: answered after the timeout"):
		f.back = 2 * simSendTimeout
	case s.chance(r, p/2, "publish: slow"):
		f.out, f.back = between(r, time.Millisecond, simSendTimeout/2), between(r, time.Millisecond, simSendTimeout/2)
	case s.chance(r, p/4, "publish: short answer"):
		f.short = true
	case s.chance(r, p/8, "publish: invalid class"):
		f.nonsense = true
	}
	subset := uint64(0)
	if s.chance(r, s.p.subset, "publish: a random subset fails") {
		subset = r.Uint64()
	}
	for i := range n {
		f.entries[i] = outbox.Accepted
		switch {
		case s.outage(byEntry(k.name)):
			f.entries[i] = outbox.Transient
			s.faults["entry: outage"]++
		case subset&(1<<i) != 0:
			f.entries[i] = []outbox.Class{outbox.Transient, outbox.Throttled, outbox.Unknown, outbox.Unavailable, outbox.Accepted}[r.IntN(5)]
			f.entryUnsure[i] = f.entries[i] == outbox.Accepted
		case s.chance(r, p/2, "entry: transient"):
			f.entries[i] = outbox.Transient
		case s.chance(r, p/3, "entry: throttled"):
			f.entries[i] = outbox.Throttled
		case s.chance(r, p/3, "entry: unknown, not accepted"):
			f.entries[i] = outbox.Unknown
		case s.chance(r, p/3, "entry: unknown, accepted"):
			f.entryUnsure[i] = true
		case s.chance(r, p/4, "entry: unavailable"):
			f.entries[i] = outbox.Unavailable
		}
	}
	return f
}

// Publish implements outbox.Sink.
func (k *simSink) Publish(ctx context.Context, msgs []outbox.Message) []outbox.Result {
	defer k.a.call()()
	s := k.s
	out := make([]outbox.Result, len(msgs))
	for i := range out {
		out[i] = outbox.Result{Err: errSim, Code: "Unknown"}
	}
	s.mu.Lock()
	if k.a.killed {
		s.mu.Unlock()
		return out
	}
	attempts := s.begin(k, msgs)
	f := k.draw(msgs)
	if s.spring(k.a, 0.05, "a send is under way") && f.beforeWire {
		f.back = between(k.a.rng("trap"), 0, 2*simSendTimeout)
	}
	s.mu.Unlock()
	out = k.travel(ctx, f, msgs, attempts, out)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end(k, attempts, out)
	return out
}

// travel takes a call to the broker and back.
func (k *simSink) travel(ctx context.Context, f fate, msgs []outbox.Message, attempts []*attempt, out []outbox.Result) []outbox.Result {
	s := k.s
	if f.whole != outbox.Accepted {
		k.stays(attempts)
		_ = pause(ctx, f.out)
		for i := range out {
			out[i].Class = f.whole
		}
		return k.back(ctx, 0, out)
	}
	if deadline, ok := ctx.Deadline(); ok && f.out > time.Until(deadline) {
		// The request is on its way for longer than the client waits.
		s.wg.Go(func() {
			pass(f.out)
			k.arrive(f, msgs, attempts)
		})
		<-ctx.Done()
		_ = k.a.gate()
		return out
	}
	pass(f.out)
	if f.beforeWire {
		s.mu.Lock()
		held := time.Until(k.a.thawAt)
		if held > 0 && !k.a.killed {
			s.faults["publish: held up by a freeze on the way to the broker"]++
		}
		s.mu.Unlock()
		if k.a.gate() != nil {
			k.stays(attempts)
			return out // killed before it left
		}
	}
	got := k.arrive(f, msgs, attempts)
	switch {
	case f.lost:
		return k.back(ctx, f.back, out)
	case f.short:
		got = got[:len(got)-1]
	case f.nonsense:
		got[len(got)-1].Class = 77
	}
	if err := pause(ctx, f.back); err != nil {
		_ = k.a.gate()
		return out
	}
	return k.back(ctx, 0, got)
}

// stays notes that a request never reaches the broker.
func (k *simSink) stays(attempts []*attempt) {
	k.s.mu.Lock()
	defer k.s.mu.Unlock()
	for _, t := range attempts {
		if t != nil {
			t.travels = false
		}
	}
}

// back is the way back of an answer, which stands still with the relay.
func (k *simSink) back(ctx context.Context, d time.Duration, got []outbox.Result) []outbox.Result {
	_ = pause(ctx, d)
	if k.a.gate() != nil {
		return make([]outbox.Result, len(got))
	}
	return got
}

// arrive is the moment at the broker.
func (k *simSink) arrive(f fate, msgs []outbox.Message, attempts []*attempt) []outbox.Result {
	s := k.s
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]outbox.Result, len(msgs))
	for i, m := range msgs {
		if attempts[i] == nil {
			out[i] = outbox.Result{Class: outbox.Rejected, Err: errSim}
			continue
		}
		attempts[i].travels = false
		class := f.entries[i]
		if strings.Contains(m.Body, "poison") && !strings.Contains(m.DeduplicationID, "#r") {
			class = outbox.Rejected
			s.faults["entry: rejected"]++
		}
		if class != outbox.Accepted {
			out[i] = outbox.Result{Class: class, Err: errSim, Code: class.String()}
			continue
		}
		out[i] = s.brokers[k.name].Publish(s.ctx, msgs[i:i+1])[0]
		s.acceptance(k, attempts[i], m, out[i])
		if f.entryUnsure[i] {
			out[i] = outbox.Result{Err: errSim, Code: "unsure"}
		}
	}
	return out
}

// begin judges the start of a call.
func (s *sim) begin(k *simSink, msgs []outbox.Message) []*attempt {
	k.a.sends++
	out := make([]*attempt, len(msgs))
	for i, m := range msgs {
		e := s.eventOf(m)
		if e == nil {
			s.violate(history.Phantom, outbox.Lane{}, "%s sends a message of no event: %q", k.a.name, m.DeduplicationID)
			continue
		}
		t := &attempt{event: e, by: k.a, era: k.a.era, travels: true, sink: k}
		if before := t.last(); before != nil && before.unanswered && len(msgs) > 1 && !s.failedOver {
			s.violate(inCompany, e.rec.Lane(), "%s sends event %d with others, after a call that was not answered", k.a.name, e.rec.ID)
		}
		out[i] = t
		s.judgeStart(t)
		e.attempts = append(e.attempts, t)
		s.inFlight[e.rec.Lane()] = t
	}
	return out
}

func (s *sim) eventOf(m outbox.Message) *simEvent {
	for _, a := range m.Attributes {
		if a.Name == outbox.AttributeEventID {
			id, _ := uuid.Parse(a.Value)
			return s.byID[id]
		}
	}
	return nil
}

// end notes what the relay learns from a call.
func (s *sim) end(k *simSink, attempts []*attempt, got []outbox.Result) {
	k.a.sends--
	classes := make([]outbox.Class, len(attempts))
	succeeds, unanswered := false, true
	for i := range attempts {
		if i < len(got) && got[i].Class >= outbox.Unknown && got[i].Class <= outbox.Unavailable {
			classes[i] = got[i].Class
		}
		succeeds = succeeds || classes[i] == outbox.Accepted
		unanswered = unanswered && classes[i] == outbox.Unknown
	}
	if succeeds {
		k.succeeded = time.Now()
	}
	for i, t := range attempts {
		if t == nil {
			continue
		}
		t.unanswered = unanswered
		if classes[i] == outbox.Transient && t.own(succeeds) {
			t.event.ownFailures++
		}
		s.learned(t, classes[i])
		if s.inFlight[t.event.rec.Lane()] == t {
			delete(s.inFlight, t.event.rec.Lane())
		}
	}
}
