package relay_test

import (
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/history"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

// The rules that hold at every moment, beside those that package history holds
// against the finished record.
const (
	// noLease: a call began although the lease does not outlast it by the
	// database's clock.
	noLease history.Kind = "no_lease"
	// twoInFlight: a second event of a lane was sent while one was under way,
	// and the relay of that one is alive.
	twoInFlight history.Kind = "two_in_flight"
	// sentSettled: an event was sent that is marked or dead.
	sentSettled history.Kind = "sent_settled"
	// sentBlocked: an event was sent whose lane is blocked.
	sentBlocked history.Kind = "sent_blocked"
	// leftRunning: a relay left, or its run ended, with calls under way.
	leftRunning history.Kind = "left_running"
	// releasedUnsettled: a relay gave a shard back, or left, with an event under
	// way, or accepted and not marked although marking works.
	releasedUnsettled history.Kind = "released_unsettled"
	// markedWithoutLease: a relay settled an event of a shard that it does not
	// own.
	markedWithoutLease history.Kind = "marked_without_lease"
	// lostLease: a relay lost its lease and nothing had befallen it.
	lostLease history.Kind = "lost_lease"
	// buffersTooMuch: a relay buffered more events than its window.
	buffersTooMuch history.Kind = "buffers_too_much"
	// illegalState: a lane went from a state to one that does not follow it.
	illegalState history.Kind = "illegal_state"
	// inCompany: an event was sent with others after a call with it that was not answered.
	inCompany history.Kind = "suspect_in_company"
	// fewCalls: a relay allows fewer calls in flight than it begins with, and no message was throttled.
	fewCalls history.Kind = "few_calls"
	// wrongClock: a relay mixed up its clock and the database's.
	wrongClock history.Kind = "wrong_clock"
	// pinned: an event of an unknown destination holds the position of the others.
	pinned history.Kind = "pinned"
	// stuck: events wait although nothing fails any more.
	stuck history.Kind = "stuck"
)

// judgeStart holds the start of an attempt against the rules.
func (s *sim) judgeStart(t *attempt) {
	a, lane, id := t.by, t.event.rec.Lane(), t.event.rec.ID
	s.note(lane, "%s sends %d", a.name, id)
	if s.failedOver && s.behind(t) {
		s.excuse(t, history.Crash, s.now())
		return
	}
	if s.store.IsSent(id) || s.store.IsDead(id) {
		s.violate(sentSettled, lane, "%s sends event %d: marked %v, dead %v", a.name, id, s.store.IsSent(id), s.store.IsDead(id))
	}
	if s.store.IsBlocked(lane) {
		s.violate(sentBlocked, lane, "%s sends event %d of a blocked lane", a.name, id)
	}
	// What the clocks may have drifted apart within a lease is allowed for.
	if owner, until := s.store.Owner(t.event.rec.Shard); owner != a.id || time.Until(until) < simSendTimeout-simTTL/1000 {
		s.violate(noLease, lane, "%s sends event %d without a lease that outlasts the call (%v left)", a.name, id, time.Until(until))
	}
	if other := s.inFlight[lane]; other != nil && !other.done && (other.by == a && other.era == t.era || other.by != a && !other.by.dead() && other.era == t.era) {
		s.violate(twoInFlight, lane, "%s sends event %d while %s has %d in flight", a.name, id, other.by.name, other.event.rec.ID)
	}
	for _, before := range t.event.attempts {
		s.pardon(before, a)
	}
}

// pardon records why the event of an attempt may be sent again by another
// relay: the one that made the attempt is dead, or left while it could not mark
// anything. An attempt whose own outcome its relay did not know has that for a
// cause, see learned.
func (s *sim) pardon(t *attempt, another *actor) {
	if t.done && t.class != outbox.Accepted || t.by == another {
		return
	}
	switch {
	case t.by.dead() && t.done:
		s.excuse(t, history.LeaseLost, s.now())
	case t.by.dead():
		s.excuse(t, history.Crash, s.now())
	case t.pardoned:
		s.excuse(t, history.SettleFailed, s.now())
	}
}

// excuse records the cause for one resend of the event, once the broker has
// accepted this attempt.
func (s *sim) excuse(t *attempt, kind history.CauseKind, at time.Time) {
	if t.cause != "" {
		return
	}
	t.cause, t.causeAt = kind, at
	if t.accepted {
		s.tellCause(t)
	}
}

func (s *sim) tellCause(t *attempt) {
	s.faults["resend excused: "+string(t.cause)]++
	s.record.Cause(history.Cause{Kind: t.cause, At: t.causeAt, Events: s.ids(t.event)})
}

// own says whether a transient failure, learned now, may be charged to the event: the relay has learned since the
// event's last result, or with this one, that another event was accepted at the destination. succeeds says whether
// the answer at hand has an acceptance.
func (t *attempt) own(succeeds bool) bool {
	if before := t.last(); before != nil {
		return !t.sink.succeeded.Before(before.at)
	}
	return succeeds
}

// last returns the attempt of the same relay before t whose result it has learned last, nil without one.
func (t *attempt) last() *attempt {
	for _, before := range slices.Backward(t.event.attempts) {
		if before != t && before.by == t.by && before.done {
			return before
		}
	}
	return nil
}

// learned notes what the relay learned from an attempt.
func (s *sim) learned(t *attempt, class outbox.Class) {
	t.done, t.class, t.learned, t.at = true, class, s.now(), time.Now()
	switch {
	case class == outbox.Accepted:
		t.by.accepted[t] = struct{}{}
	case t.accepted:
		s.excuse(t, history.UnknownOutcome, t.learned)
	}
	s.note(t.event.rec.Lane(), "%s learns that %d is %s", t.by.name, t.event.rec.ID, class)
}

// arrived notes that the broker accepted an attempt.
func (s *sim) arrived(t *attempt) {
	t.accepted = true
	if t.cause != "" {
		s.tellCause(t)
	}
	if t.done && t.class != outbox.Accepted {
		s.excuse(t, history.UnknownOutcome, t.learned)
	}
}

// unsettled returns what the relay knows to be accepted and what is not marked,
// in shards, or in all.
func (a *actor) unsettled(shards []int) []*attempt {
	var out []*attempt
	for t := range a.accepted {
		id := t.event.rec.ID
		if t.event.lost || a.s.store.IsSent(id) || a.s.store.IsDead(id) {
			delete(a.accepted, t)
			continue
		}
		if shards == nil || slices.Contains(shards, t.event.rec.Shard) {
			out = append(out, t)
		}
	}
	return out
}

// judgeRelease: what is given back is quiet.
func (s *sim) judgeRelease(a *actor, shards []int) {
	if a.killed || len(shards) == 0 {
		return
	}
	for _, e := range s.events {
		for _, t := range e.attempts {
			if t.by == a && slices.Contains(shards, e.rec.Shard) {
				t.unanswered = false
			}
		}
	}
	for _, t := range a.unsettled(shards) {
		s.violate(releasedUnsettled, t.event.rec.Lane(), "%s gives shard %d back before event %d is marked", a.name, t.event.rec.Shard, t.event.rec.ID)
	}
	for lane, t := range s.inFlight {
		if t.by == a && !t.done && slices.Contains(shards, t.event.rec.Shard) {
			s.violate(releasedUnsettled, lane, "%s gives shard %d back while event %d is under way", a.name, t.event.rec.Shard, t.event.rec.ID)
		}
	}
}

// judgeLeave: nothing is under way, and what is not marked could not be.
func (s *sim) judgeLeave(a *actor) {
	if a.killed {
		return
	}
	a.left = true
	if a.sends > 0 {
		s.violate(leftRunning, outbox.Lane{}, "%s leaves with %d sends under way", a.name, a.sends)
	}
	for _, t := range a.unsettled(nil) {
		if t.pardoned = a.settleFailing; !t.pardoned {
			s.violate(releasedUnsettled, t.event.rec.Lane(), "%s leaves before event %d is marked", a.name, t.event.rec.ID)
		}
	}
}

// judgeSettled looks at a settlement in the moment in which it took effect.
func (s *sim) judgeSettled(a *actor, set relay.Settlement) {
	now := time.Now()
	judge := func(id int64, event uuid.UUID) {
		e := s.events[id]
		if by, at := s.store.Settled(id); s.failedOver || e == nil || e.rec.EventID != event || by != a.id || !at.Equal(now) {
			return
		}
		if owner, _ := s.store.Owner(e.rec.Shard); owner != a.id {
			s.violate(markedWithoutLease, e.rec.Lane(), "%s settles event %d of a shard that it does not own", a.name, id)
		}
	}
	for _, accepted := range set.Accepted {
		judge(accepted.ID, accepted.EventID)
	}
	for _, dead := range set.DeadLetters {
		judge(dead.ID, dead.EventID)
	}
}

// judgePositions: when every relay has left, and all is settled but events of a destination that none of them had, the
// next one resumes above those.
func (s *sim) judgePositions() {
	s.mu.Lock()
	defer s.mu.Unlock()
	first := int64(0)
	for id, e := range s.events {
		switch {
		case !e.visible || s.store.IsSent(id) || s.store.IsDead(id):
		case s.store.IsBlocked(e.rec.Lane()):
			return // a lane that is being released holds the position
		case first == 0 || id < first:
			first = id
		}
	}
	for shard := range outbox.Shards {
		p := s.store.Position(shard)
		low := p.Low
		for _, settled := range p.Lows {
			low = min(low, settled)
		}
		if low < first {
			s.violate(pinned, outbox.Lane{}, "shard %d is resumed at %+v, although only event %d and others of an unknown destination wait", shard, p, first)
			return
		}
	}
}
