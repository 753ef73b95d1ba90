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
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	staying := 0
	for _, r := range s.relays {
		if r.live.After(now) && r.until.After(now.Add(j.JoinWindow)) {
			staying++
		}
	}
	if staying >= j.Relays {
		return false, nil
	}
	s.relays[j.RelayID] = &relayRow{name: j.Name, started: now, until: now.Add(j.RunFor), live: now.Add(j.TTL), seq: len(s.relays)}
	return true, s.after(ctx, "join")
}

// Renew implements relay.Leases.
func (s *Store) Renew(ctx context.Context, r relay.Renewal) (relay.Lease, error) {
	if err := s.before(ctx, "renew"); err != nil {
		return relay.Lease{}, err
	}
	lease, err := s.renew(r)
	if err != nil {
		return relay.Lease{}, err
	}
	if err := s.after(ctx, "renew"); err != nil {
		return relay.Lease{}, err
	}
	return lease, nil
}

func (s *Store) renew(r relay.Renewal) (relay.Lease, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	me := s.relays[r.RelayID]
	if me == nil {
		return relay.Lease{}, relay.ErrLeaseLost
	}
	me.live = now.Add(r.TTL)
	me.position = r.Position
	for id, other := range s.relays {
		if other.live.Before(now) {
			s.freeAll(id, other.position)
			delete(s.relays, id)
		}
	}
	for _, n := range r.Release {
		if s.shards[n].owner == r.RelayID {
			s.shards[n].owner = uuid.Nil
			s.shards[n].position = r.Position
		}
	}
	target := s.target(r)
	held := 0
	for n := range s.shards {
		if s.shards[n].owner == r.RelayID {
			held++
		}
	}
	for n := range s.shards {
		if sh := &s.shards[n]; held < target && sh.owner == uuid.Nil {
			sh.owner = r.RelayID
			sh.epoch++
			held++
			// Until the relay reports a position that knows this shard, the
			// stored one must not be above where the shard is to be resumed.
			me.position = lower(me.position, sh.position)
		}
	}
	for _, lane := range r.Resumed {
		if h := s.blocked[lane]; h != nil && h.released {
			delete(s.blocked, lane)
		}
	}
	return s.leaseOf(r.RelayID, target, now), nil
}

func (s *Store) leaseOf(id uuid.UUID, target int, now time.Time) relay.Lease {
	lease := relay.Lease{Target: target, Now: now}
	for n, sh := range s.shards {
		if sh.owner == id {
			lease.Shards = append(lease.Shards, relay.ShardLease{Shard: n, Epoch: sh.epoch, Resume: sh.position})
		}
	}
	for lane, h := range s.blocked {
		if h.released && s.shards[h.shard].owner == id {
			lease.Released = append(lease.Released, relay.ReleasedLane{Lane: lane, Shard: h.shard, FirstID: h.firstID})
		}
	}
	return lease
}

func (s *Store) target(r relay.Renewal) int {
	if r.Leaving {
		return 0
	}
	var ids []uuid.UUID
	for id := range s.relays {
		ids = append(ids, id)
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

func lower(a, b relay.Position) relay.Position {
	return relay.Position{Low: min(a.Low, b.Low), Gaps: append(slices.Clone(a.Gaps), b.Gaps...)}
}

func (s *Store) freeAll(id uuid.UUID, p relay.Position) {
	for n := range s.shards {
		if s.shards[n].owner == id {
			s.shards[n].owner = uuid.Nil
			s.shards[n].position = p
		}
	}
}

// Leave implements relay.Leases.
func (s *Store) Leave(ctx context.Context, id uuid.UUID, p relay.Position) error {
	if err := s.before(ctx, "leave"); err != nil {
		return err
	}
	s.mu.Lock()
	s.freeAll(id, p)
	delete(s.relays, id)
	s.mu.Unlock()
	return s.after(ctx, "leave")
}
