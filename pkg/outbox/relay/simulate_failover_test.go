package relay_test

import (
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/history"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/memory"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

// failovers promotes a standby now and then that lacks the commits of the last moments.
func (s *sim) failovers() {
	r := s.stream("failovers")
	for range s.p.failovers {
		pass(s.afterSilence(between(r, 100*time.Millisecond, s.p.chaos-s.p.silence)))
		replica := s.store.Replica()
		pass(between(r, 0, s.p.lag))
		s.mu.Lock()
		healthy := s.healthy
		if !healthy {
			s.failover(replica, int64(r.IntN(4)))
		}
		s.mu.Unlock()
		if healthy {
			return
		}
		// The writers were waiting for the new primary, and their events take the ids of lost ones at once.
		for range 1 + r.IntN(12) {
			o := s.beginTx()
			s.write(r, o, 1+r.IntN(3))
			s.finish(o, true)
		}
	}
}

// failover makes the replica the store. What was committed since is lost, and the ids come again. The caller holds s.mu.
func (s *sim) failover(replica *memory.Replica, skip int64) {
	s.failedOver = true
	s.faults["failover"]++
	s.note(outbox.Lane{}, "failover")
	s.store.Failover(replica, skip)
	for _, o := range s.open {
		o.over = true
		s.dropped(o.recs)
	}
	s.open = nil
	for id, e := range s.events {
		switch event, sent, found := s.store.Find(id); {
		case !e.visible:
		case found && event == e.rec.EventID || s.store.IsDeadEvent(e.rec.EventID):
			if !sent {
				s.unmarked(e)
			}
			continue
		default:
			e.lost = true
			s.faults["failover: event lost"]++
			s.note(e.rec.Lane(), "event %d lost", id)
		}
		delete(s.events, id)
	}
	s.record.Undo(func(id uuid.UUID) bool { return !s.byID[id].lost }, nil)
	for _, a := range s.actors {
		// Its lease, or the end of it, may be among what was lost.
		a.renewFaults++
		clear(a.accepted)
	}
}

// unmarked excuses that an event is sent again: that it was is not known any more.
func (s *sim) unmarked(e *simEvent) {
	for _, t := range e.attempts {
		s.excuse(t, history.SettleFailed, s.now())
	}
}

// behind says whether the relay of an attempt has not heard of the newest failover yet, or sends again what it had in
// flight when it heard of it.
func (s *sim) behind(t *attempt) bool {
	return t.era != s.store.Era() || slices.ContainsFunc(t.event.attempts, func(before *attempt) bool {
		return before.by == t.by && before.era != t.era
	})
}
