package relay_test

import (
	"slices"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

// waiting counts the committed events that should have been settled.
func (s *sim) waiting(exceptLate bool) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for id, e := range s.events {
		if e.visible == 0 || s.store.IsSent(id) || s.store.IsDead(id) || s.store.OnHold(e.rec.Lane()) {
			continue
		}
		if exceptLate && e.rec.Destination == "late" {
			continue
		}
		n++
	}
	return n
}

// check judges the finished history.
func (s *sim) check() {
	s.mu.Lock()
	defer s.mu.Unlock()
	sent := s.store.Sent()
	lanes := map[outbox.Lane][]*simEvent{}
	ids := make([]int64, 0, len(s.events))
	for id := range s.events {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		e := s.events[id]
		lane := e.rec.Lane()
		mark, marked := sent[id]
		dead := s.store.IsDead(id)
		if e.visible != 0 {
			lanes[lane] = append(lanes[lane], e)
		}
		switch {
		case e.visible == 0 && (e.first != 0 || marked || dead):
			s.violate(lane, "event %d was rolled back and is accepted %v, marked %v, dead %v", id, e.first != 0, marked, dead)
		case e.visible != 0 && !marked && !dead && !s.store.OnHold(lane):
			s.violate(lane, "event %d is lost: accepted %v, neither marked nor dead nor on hold", id, e.first != 0)
		case marked && e.first == 0:
			s.violate(lane, "event %d is marked and was never accepted", id)
		case marked && mark.MessageID != e.messageID:
			s.violate(lane, "event %d is marked with message id %s, accepted as %s", id, mark.MessageID, e.messageID)
		case dead && !e.poison && e.transients < s.p.maxAttempts:
			s.violate(lane, "event %d is dead without a cause (%d transients)", id, e.transients)
		}
		if e.deliveries > 1 {
			s.violate(lane, "event %d was delivered %d times", id, e.deliveries)
		}
	}
	for lane, events := range lanes {
		s.checkOrder(lane, events)
	}
}

// checkOrder: of two events of a lane, the lower goes first unless the higher
// was visible before it. Dead ones and those on hold are left out.
func (s *sim) checkOrder(lane outbox.Lane, events []*simEvent) {
	for i, b := range events {
		for _, a := range events[:i] {
			if b.first == 0 || a.visible > b.visible || s.store.IsDead(a.rec.ID) || s.store.IsDead(b.rec.ID) {
				continue
			}
			if a.first == 0 || a.first > b.first {
				s.violate(lane, "event %d (commit %d) was accepted after %d (commit %d)", a.rec.ID, a.visible, b.rec.ID, b.visible)
				return
			}
		}
	}
}
