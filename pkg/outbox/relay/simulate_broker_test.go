package relay_test

import (
	"context"
	"strings"
	"time"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest/memory"
)

// simSink is one relay's connection to one broker.
type simSink struct {
	s    *sim
	a    *actor
	name string
}

// Limits implements outbox.Sink.
func (k *simSink) Limits() outbox.Limits {
	return outbox.Limits{Entries: k.s.p.entries, MessageBytes: simMaxMessage, BatchBytes: 2 * simMaxMessage}
}

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

func (k *simSink) draw(n int) fate {
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
	for i := range n {
		f.entries[i] = outbox.Accepted
		switch {
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
	f := k.draw(len(msgs))
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
		class := f.entries[i]
		if strings.Contains(m.Body, "poison") {
			class = outbox.Rejected
			s.faults["entry: rejected"]++
		}
		if class != outbox.Accepted {
			out[i] = outbox.Result{Class: class, Err: errSim, Code: class.String()}
			continue
		}
		out[i] = s.brokers[k.name].Publish(s.ctx, msgs[i:i+1])[0]
		s.acceptedOne(attempts[i], s.brokers[k.name], out[i])
		if f.entryUnsure[i] {
			out[i] = outbox.Result{Err: errSim, Code: "unsure"}
		}
	}
	return out
}

func (s *sim) acceptedOne(t *attempt, b *memory.Broker, r outbox.Result) {
	if t == nil {
		return
	}
	e := t.event
	t.accepted = true
	s.accepted++
	if e.first == 0 {
		e.first = s.accepted
	}
	if e.messageID != r.MessageID {
		e.deliveries++
		e.messageID = r.MessageID
	}
	s.note(e.rec.Lane(), "event %d accepted from %s as %s", e.rec.ID, t.by.name, r.MessageID)
	_ = b
}

// begin judges the start of a call.
func (s *sim) begin(k *simSink, msgs []outbox.Message) []*attempt {
	out := make([]*attempt, len(msgs))
	for i, m := range msgs {
		e := s.byDedup[m.DeduplicationID]
		if e == nil {
			s.violate(outbox.Lane{}, "%s sends an unknown deduplication id %q", k.a.name, m.DeduplicationID)
			continue
		}
		t := &attempt{event: e, by: k.a}
		out[i] = t
		s.judgeStart(k, t, m)
		e.attempts = append(e.attempts, t)
		s.inFlight[e.rec.Lane()] = t
	}
	return out
}

// judgeStart holds the start of an attempt against the rules: it is ours, the
// lease outlasts it, nothing else of its lane is in flight, it is not known to
// have been accepted.
func (s *sim) judgeStart(k *simSink, t *attempt, m outbox.Message) {
	e, a, lane := t.event, k.a, t.event.rec.Lane()
	id := e.rec.ID
	s.note(lane, "%s sends %d", a.name, id)
	if lane.Destination != k.name || m.Body != string(e.rec.Payload) {
		s.violate(lane, "event %d is sent to %s with body %.40s", id, k.name, m.Body)
	}
	if e.visible == 0 {
		s.violate(lane, "event %d is sent and was never committed", id)
	}
	if s.store.IsSent(id) {
		s.violate(lane, "%s sends event %d, which is marked as sent", a.name, id)
	}
	if s.store.IsDead(id) {
		s.violate(lane, "%s sends event %d, which is dead", a.name, id)
	}
	if s.store.OnHold(lane) {
		s.violate(lane, "%s sends event %d of a lane on hold", a.name, id)
	}
	if owner, until := s.store.Holder(e.rec.Shard); owner != a.id || time.Until(until) < simSendTimeout {
		s.violate(lane, "%s sends event %d without a lease that outlasts the call (%v left)", a.name, id, time.Until(until))
	}
	if other := s.inFlight[lane]; other != nil && !other.done && (other.by == a || !other.by.unwell()) {
		s.violate(lane, "%s sends event %d while %s has %d in flight", a.name, id, other.by.name, other.event.rec.ID)
	}
	if n := len(e.attempts); n > 0 {
		s.judgeResend(a, e, e.attempts[n-1])
	}
}

// judgeResend: a second sending needs a cause.
func (s *sim) judgeResend(a *actor, e *simEvent, last *attempt) {
	switch {
	case !last.done || last.class != outbox.Accepted:
		return // in flight is judged by lane
	case last.by == a:
		s.violate(e.rec.Lane(), "%s sends event %d again after its acceptance", a.name, e.rec.ID)
	case !last.by.unwell():
		s.violate(e.rec.Lane(), "%s sends event %d again, which %s had accepted, without a cause", a.name, e.rec.ID, last.by.name)
	default:
		s.faults["resend after a crash or a lost lease"]++
	}
}

// end notes what the relay learns from a call.
func (s *sim) end(k *simSink, attempts []*attempt, got []outbox.Result) {
	for i, t := range attempts {
		if t == nil {
			continue
		}
		t.done = true
		if i < len(got) && got[i].Class >= outbox.Unknown && got[i].Class <= outbox.Unavailable {
			t.class = got[i].Class
		}
		if t.class == outbox.Transient {
			t.event.transients++
		}
		if s.inFlight[t.event.rec.Lane()] == t {
			delete(s.inFlight, t.event.rec.Lane())
		}
		s.note(t.event.rec.Lane(), "%s learns that %d is %s", k.a.name, t.event.rec.ID, t.class)
	}
}
