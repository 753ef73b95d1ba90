package memory

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

// Join implements relay.Leases.
func (s *Store) Join(ctx context.Context, j relay.Join) (bool, error) {
	if err := s.before(ctx, "join"); err != nil {
		return false, err
	}
	if !s.join(j) {
		return false, nil
	}
	return true, s.after(ctx, "join")
}

// join gives the relay a lease, or extends the lease that it has, and returns true. It returns false when j.Relays
// other relays have a lease, are not leaving, and have a run that ends later than j.JoinWindow from now.
func (s *Store) join(j relay.Join) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	staying := 0
	for id, r := range s.relays {
		if id != j.RelayID && !r.leaving && r.live.After(now) && r.until.After(now.Add(j.JoinWindow)) {
			staying++
		}
	}
	if staying >= j.Relays {
		return false
	}
	// Asked again after an answer that got lost, it answers the same.
	if r := s.relays[j.RelayID]; r != nil {
		r.live = now.Add(j.TTL)
		return true
	}
	s.relays[j.RelayID] = &relayRow{started: now, until: now.Add(j.RunFor), live: now.Add(j.TTL), seq: s.joins}
	s.joins++
	return true
}

// Renew implements relay.Leases. The position counts only for shards that the relay knew to be its own when it asked:
// those in the newest answer to a renewal that had reached the relay.
func (s *Store) Renew(ctx context.Context, r relay.Renewal) (relay.Lease, error) {
	named := s.named(r.RelayID)
	if err := s.before(ctx, "renew"); err != nil {
		return relay.Lease{}, err
	}
	lease, err := s.renew(r, named)
	if err != nil {
		return relay.Lease{}, err
	}
	if err := s.after(ctx, "renew"); err != nil {
		return relay.Lease{}, err
	}
	s.answered(r.RelayID, lease.Shards)
	return lease, nil
}

// named returns the shards, with their epochs, of the newest answer to a renewal that
// reached the relay; nil before the first, and for an unknown relay.
func (s *Store) named(id uuid.UUID) map[int]int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.relays[id]; r != nil {
		return r.named
	}
	return nil
}

// answered keeps the shards of an answer that has reached the relay, for named to return.
func (s *Store) answered(id uuid.UUID, shards []relay.ShardLease) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.relays[id]; r != nil {
		r.named = make(map[int]int64, len(shards))
		for _, l := range shards {
			r.named[l.Shard] = l.Epoch
		}
	}
}

// renew makes a renewal: it extends the lease, stores the position for the shards in named, removes relays whose lease
// has lapsed, frees the shards to give back, takes free shards up to the relay's target, and unblocks lanes. It returns
// relay.ErrLeaseLost when the relay is not known.
func (s *Store) renew(r relay.Renewal, named map[int]int64) (relay.Lease, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	me := s.relays[r.RelayID]
	if me == nil {
		return relay.Lease{}, relay.ErrLeaseLost
	}
	era, begun := s.beginEra(r.Era, r.Position.Low, r.Recurred)
	known := r.Era == era
	me.live = now.Add(r.TTL)
	me.leaving = me.leaving || r.Leaving
	if known {
		s.place(r.RelayID, r.Position, len(r.Unblock) > 0, named)
	}
	for id, other := range s.relays {
		if other.live.Before(now) {
			s.remove(id)
		}
	}
	for _, n := range r.GiveBack {
		if s.shards[n].owner == r.RelayID && s.shards[n].epoch == named[n] {
			s.free(n, me)
		}
	}
	if !known {
		s.reset(r.RelayID)
	}
	target := s.target(r, now)
	owned := 0
	for n := range s.shards {
		if s.shards[n].owner == r.RelayID {
			owned++
		}
	}
	for n := range s.shards {
		if sh := &s.shards[n]; owned < target && sh.owner == uuid.Nil {
			sh.owner = r.RelayID
			sh.epoch++
			owned++
		}
	}
	for _, rel := range r.Unblock {
		if b := s.blocked[rel.Lane]; known && b != nil && b.released && b.releasedAt.Equal(rel.ReleasedAt) && s.shards[b.shard].owner == r.RelayID {
			delete(s.blocked, rel.Lane)
		}
	}
	if !known {
		named = nil
	}
	lease := s.leaseOf(r.RelayID, target, now, named)
	lease.Era, lease.Begun, lease.LastID = era, begun, s.nextID
	return lease, nil
}

// reset makes the shards of a relay, which knew another era, its own anew, to be read from the stored position on. s.mu
// is locked.
func (s *Store) reset(id uuid.UUID) {
	for n := range s.shards {
		if s.shards[n].owner == id {
			s.free(n, s.relays[id])
			s.shards[n].owner = id
			s.shards[n].epoch++
		}
	}
}

// place stores the position p of a relay, for those shards in named that the relay still owns under the epoch there.
// An empty position, of a relay that has read nothing, is stored only when the same request also unblocks lanes.
// s.mu is locked.
func (s *Store) place(id uuid.UUID, p relay.Position, unblocks bool, named map[int]int64) {
	if p.Low == 0 && len(p.Gaps) == 0 && !unblocks {
		return
	}
	s.relays[id].position = p
	for n, epoch := range named {
		if sh := &s.shards[n]; sh.owner == id && sh.epoch == epoch {
			sh.covered = true
		}
	}
}

// free takes shard n from its owner, and keeps the owner's position for the next owner when it was reported for this
// shard. s.mu is locked.
func (s *Store) free(n int, owner *relayRow) {
	sh := &s.shards[n]
	if sh.covered {
		sh.position = owner.position
	}
	sh.owner, sh.covered = uuid.Nil, false
}

// remove ends the lease of a relay, which must be known, frees its shards and forgets the relay. s.mu is locked.
func (s *Store) remove(id uuid.UUID) {
	for n := range s.shards {
		if s.shards[n].owner == id {
			s.free(n, s.relays[id])
		}
	}
	delete(s.relays, id)
}

// leaseOf returns the answer to a renewal: target and now, the shards of a relay, with the positions of those that named
// does not have, and the released lanes in them,
// sorted by the first id. s.mu is locked.
func (s *Store) leaseOf(id uuid.UUID, target int, now time.Time, named map[int]int64) relay.Lease {
	lease := relay.Lease{Target: target, Now: now}
	for n, sh := range s.shards {
		if sh.owner == id {
			l := relay.ShardLease{Shard: n, Epoch: sh.epoch}
			if epoch, known := named[n]; !known || epoch != sh.epoch {
				l.Resume = sh.position
			}
			lease.Shards = append(lease.Shards, l)
		}
	}
	for lane, b := range s.blocked {
		if b.released && s.shards[b.shard].owner == id {
			lease.Released = append(lease.Released, relay.ReleasedLane{Lane: lane, Shard: b.shard, FirstID: b.firstID, ReleasedAt: b.releasedAt})
		}
	}
	slices.SortFunc(lease.Released, func(a, b relay.ReleasedLane) int { return cmp.Compare(a.FirstID, b.FirstID) })
	return lease
}

// target returns how many shards the relay should own. Of the relays with a lease that are not leaving, the r.Relays
// that joined last get an equal share each, rounded up, and any other 0. s.mu is locked.
func (s *Store) target(r relay.Renewal, now time.Time) int {
	if s.relays[r.RelayID].leaving {
		return 0
	}
	var ids []uuid.UUID
	for id, other := range s.relays {
		if !other.leaving && !other.live.Before(now) {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b uuid.UUID) int {
		if c := s.relays[b].started.Compare(s.relays[a].started); c != 0 {
			return c
		}
		return cmp.Or(cmp.Compare(s.relays[b].seq, s.relays[a].seq), bytes.Compare(b[:], a[:]))
	})
	n := min(len(ids), r.Relays)
	if slices.Index(ids, r.RelayID) >= n {
		return 0
	}
	return (outbox.Shards + n - 1) / n
}

// Leave implements relay.Leases. For a relay that is not known it changes nothing and returns no error.
func (s *Store) Leave(ctx context.Context, id uuid.UUID, era int64, p relay.Position) error {
	named := s.named(id)
	if err := s.before(ctx, "leave"); err != nil {
		return err
	}
	s.mu.Lock()
	if s.relays[id] != nil {
		if era == s.currentEra() && p.Low <= s.nextID {
			s.place(id, p, false, named)
		}
		s.remove(id)
	}
	s.mu.Unlock()
	return s.after(ctx, "leave")
}
