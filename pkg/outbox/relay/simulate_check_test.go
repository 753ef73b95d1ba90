package relay_test

import (
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/history"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/memory"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

// historical returns the event as its writer tells of it.
func (e *simEvent) historical() history.Event {
	return history.Event{EventID: e.rec.EventID, Row: e.rec.ID, Lane: e.rec.Lane(), Sum: history.Sum(e.rec.Payload)}
}

func (s *sim) ids(e *simEvent) []uuid.UUID { return []uuid.UUID{e.rec.EventID} }

// acceptance records that the broker took an attempt.
func (s *sim) acceptance(k *simSink, t *attempt, m outbox.Message, r outbox.Result) {
	known := s.messages[k.name+r.MessageID]
	s.messages[k.name+r.MessageID] = true
	at := s.now()
	s.record.Accepted(history.Acceptance{
		EventID: t.event.rec.EventID, DeduplicationID: m.DeduplicationID, Destination: k.name, Group: m.GroupID,
		MessageID: r.MessageID, SequenceNumber: r.SequenceNumber, At: at, Suppressed: known,
		Sum: history.Sum([]byte(m.Body)),
	})
	s.arrived(t)
	if known {
		s.faults["accepted again: dropped"]++
	} else if first := t.event.first; !first.IsZero() {
		s.faults["accepted again: delivered again"]++
		if at.Sub(first) < memory.DedupWindow && t.event.replays == 0 && m.DeduplicationID == t.event.rec.EventID.String() {
			s.violate(history.Malformed, t.event.rec.Lane(), "event %d was delivered twice within the deduplication window", t.event.rec.ID)
		}
	}
	if t.event.first.IsZero() {
		t.event.first = at
	}
	s.note(t.event.rec.Lane(), "event %d accepted from %s as %s, dropped %v", t.event.rec.ID, t.by.name, r.MessageID, known)
}

// waiting counts the committed events that should have been settled.
func (s *sim) waiting() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for id, e := range s.events {
		if e.visible && !s.store.IsSent(id) && !s.store.IsDead(id) && !s.store.IsBlocked(e.rec.Lane()) && e.rec.Destination != "late" {
			n++
		}
	}
	return n
}

// check judges the finished history.
func (s *sim) check() {
	s.mu.Lock()
	defer s.mu.Unlock()
	sent := s.store.Sent()
	for id, e := range s.events {
		f := history.Final{EventID: e.rec.EventID, State: history.Pending}
		mark, marked := sent[id]
		switch {
		case marked:
			f.State, f.MessageID = history.Sent, mark.MessageID
		case s.store.IsDead(id):
			f.State = history.Dead
			if e.poison || e.ownFailures >= s.p.maxAttempts {
				f.Reason = "rejected, or failed too often"
			}
		case !e.visible:
			continue
		case s.store.IsBlocked(e.rec.Lane()):
			f.State, f.Reason = history.Blocked, "blocked"
		}
		if f.State != history.Sent {
			for _, t := range e.attempts {
				s.pardon(t, nil)
			}
		}
		s.record.Final(f)
	}
	// A row that commits late is never expected before one that was read.
	v := s.record.Check(history.Config{ReadAhead: 24 * time.Hour})
	s.faults["accepted, and dead or blocked"] += v.AcceptedAndDead
	for _, w := range v.Witnesses {
		var lane outbox.Lane
		if at := slices.IndexFunc(w.Events, func(id uuid.UUID) bool { return s.byID[id] != nil }); at >= 0 {
			lane = s.byID[w.Events[at]].rec.Lane()
		}
		s.violate(w.Kind, lane, "%s", w.Witness)
	}
	if len(s.events) > 0 && v.Committed == 0 && len(v.Violations) == 0 {
		s.faults["history without a commit"]++
	}
}
