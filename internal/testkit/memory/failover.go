package memory

import (
	"maps"
	"slices"

	"github.com/google/uuid"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

// Replica is what a standby has: the state of a store at a moment.
type Replica struct {
	nextID      int64
	era, eraOf  int64
	rows        map[int64]row
	relays      map[uuid.UUID]relayRow
	shards      [outbox.Shards]shardRow
	blocked     map[outbox.Lane]block
	deadLetters map[uuid.UUID]DeadLetter
}

// Replica returns the committed state of the store.
func (s *Store) Replica() *Replica {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := &Replica{
		nextID: s.nextID, era: s.era, eraOf: s.eraOf, shards: s.shards, deadLetters: maps.Clone(s.deadLetters),
		rows: map[int64]row{}, relays: map[uuid.UUID]relayRow{}, blocked: map[outbox.Lane]block{},
	}
	for id, x := range s.rows {
		r.rows[id] = *x
	}
	for id, x := range s.relays {
		r.relays[id] = *x
	}
	for lane, b := range s.blocked {
		r.blocked[lane] = *b
	}
	return r
}

// Failover makes the state of r that of the store, as the promotion of a standby does: what was committed since is lost,
// open transactions are rolled back, and ids come again, from skip above the highest that r knows.
func (s *Store) Failover(r *Replica, skip int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.timeline++
	s.nextID, s.era, s.eraOf = r.nextID+skip, r.era, r.eraOf
	s.writers = map[string]struct{}{}
	s.shards, s.deadLetters = r.shards, maps.Clone(r.deadLetters)
	s.rows, s.blocked = map[int64]*row{}, map[outbox.Lane]*block{}
	for id, x := range r.rows {
		s.rows[id] = &x
	}
	s.ids = slices.Sorted(maps.Keys(s.rows))
	for lane, b := range r.blocked {
		s.blocked[lane] = &b
	}
	relays := map[uuid.UUID]*relayRow{}
	for id, x := range r.relays {
		if now := s.relays[id]; now != nil {
			x.named = now.named // known to the relay, not to the store
		}
		relays[id] = &x
	}
	s.relays = relays
}

// Find returns the event of a committed row, and whether it is marked as sent; found is false when there is no such row.
func (s *Store) Find(id int64) (event uuid.UUID, sent, found bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.rows[id]
	if r == nil {
		return uuid.Nil, false, false
	}
	return r.rec.EventID, !r.sentAt.IsZero(), true
}

// Era returns the era of the row ids.
func (s *Store) Era() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.currentEra()
}

// failedOver says whether there was a failover since the timeline was the current one. It broke all connections.
func (s *Store) failedOver(timeline int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.timeline != timeline
}

// currentEra returns the stored era, or a new one after a failover. s.mu is locked.
func (s *Store) currentEra() int64 {
	if s.eraOf == s.timeline {
		return s.era
	}
	return max(s.era+1, 10*s.timeline)
}

// beginEra stores and returns the era for a renewal by a relay that knows the era known. It begins a new one, and says
// so, when ids have come again: recurred says it, or low or a stored position is above the highest id that was given.
// s.mu is locked.
func (s *Store) beginEra(known, low int64, recurred bool) (era int64, begun bool) {
	era = s.currentEra()
	begun = known == era && (recurred || low > s.nextID)
	for _, r := range s.relays {
		begun = begun || r.position.Low > s.nextID
	}
	for n := range s.shards {
		begun = begun || s.shards[n].position.Low > s.nextID
	}
	if begun {
		era++
		s.lowerPositions()
	}
	s.era, s.eraOf = era, s.timeline
	return era, begun
}

// lowerPositions lowers every position above the first unsent row to that row. s.mu is locked.
func (s *Store) lowerPositions() {
	first := s.nextID
	s.from(1, func(r *row) bool {
		if r.sentAt.IsZero() {
			first = min(first, r.rec.ID-1)
		}
		return !r.sentAt.IsZero()
	})
	at := relay.Position{Low: first}
	if first > 0 {
		at.Gaps = []relay.Range{{From: max(1, first-999), To: first}}
	}
	for _, r := range s.relays {
		if r.position.Low > first {
			r.position = at
		}
	}
	for n := range s.shards {
		if s.shards[n].position.Low > first {
			s.shards[n].position = at
		}
	}
}
