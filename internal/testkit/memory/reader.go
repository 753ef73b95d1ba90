package memory

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

// Fetch implements relay.Reader. Each read sees what was committed when it
// began, so a commit may fall between two reads of one fetch.
func (s *Store) Fetch(ctx context.Context, f relay.Fetch) (relay.Fetched, error) {
	var out relay.Fetched
	if err := s.before(ctx, "fetch"); err != nil {
		return out, err
	}
	for _, scan := range f.Scans {
		if err := s.before(ctx, "fetch.scan"); err != nil {
			return out, err
		}
		out.Scans = append(out.Scans, s.scan(scan, f.Shards))
	}
	for _, b := range f.Backfills {
		if err := s.before(ctx, "fetch.backfill"); err != nil {
			return out, err
		}
		out.Backfills = append(out.Backfills, s.backfill(b, f.Shards))
	}
	if f.Writers {
		if err := s.before(ctx, "fetch.writers"); err != nil {
			return out, err
		}
		s.mu.Lock()
		for w := range s.writers {
			out.Writers = append(out.Writers, w)
		}
		s.mu.Unlock()
		slices.Sort(out.Writers)
	}
	if err := s.before(ctx, "fetch.gaps"); err != nil {
		return out, err
	}
	s.gaps(f, &out)
	if err := s.after(ctx, "fetch"); err != nil {
		return relay.Fetched{}, err
	}
	return out, nil
}

// from calls f with visible rows from id on, in order, until it returns false.
func (s *Store) from(id int64, f func(*row) bool) {
	at, _ := slices.BinarySearch(s.ids, id)
	for _, id := range s.ids[at:] {
		if r := s.rows[id]; r != nil && !f(r) {
			return
		}
	}
}

func (s *Store) mine(r *row, shards []int) bool {
	return r.sentAt.IsZero() && slices.Contains(shards, r.rec.Shard) && s.blocked[r.rec.Lane()] == nil
}

func (s *Store) scan(scan relay.Scan, shards []int) []relay.Row {
	s.mu.Lock()
	defer s.mu.Unlock()
	if scan.Shards != nil {
		shards = scan.Shards
	}
	var out []relay.Row
	s.from(scan.After+1, func(r *row) bool {
		if len(out) == scan.Limit {
			return false
		}
		got := relay.Row{ID: r.rec.ID}
		if s.mine(r, shards) {
			rec := r.rec
			got.Record = &rec
		}
		out = append(out, got)
		return true
	})
	return out
}

func (s *Store) backfill(b relay.Backfill, shards []int) relay.Backfilled {
	s.mu.Lock()
	defer s.mu.Unlock()
	wholeDestination := b.Lane.AggregateType == "" && b.Lane.AggregateID == ""
	var out relay.Backfilled
	examined := 0
	s.from(b.From, func(r *row) bool {
		if b.Before > 0 && r.rec.ID >= b.Before {
			return false
		}
		if !r.sentAt.IsZero() {
			return true
		}
		if len(out.Records) == b.Limit || b.Before == 0 && examined == b.Examine {
			out.Next = r.rec.ID
			return false
		}
		examined++
		switch {
		case !slices.Contains(shards, r.rec.Shard), !b.Held && s.blocked[r.rec.Lane()] != nil:
		case wholeDestination && (b.Lane.Destination == "" || r.rec.Destination == b.Lane.Destination), r.rec.Lane() == b.Lane:
			out.Records = append(out.Records, r.rec)
		}
		return true
	})
	if b.Before > 0 && out.Next == 0 {
		out.Next = b.Before
	}
	return out
}

func (s *Store) gaps(f relay.Fetch, out *relay.Fetched) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range f.Gaps {
		s.from(g.From, func(r *row) bool {
			if r.rec.ID > g.To || out.GapsThrough != 0 {
				return false
			}
			if len(out.Seen) == f.GapLimit {
				out.GapsThrough = out.Seen[len(out.Seen)-1]
				return false
			}
			switch {
			case s.mine(r, f.Shards):
				out.Gaps = append(out.Gaps, r.rec)
			case r.sentAt.IsZero() && slices.Contains(f.Shards, r.rec.Shard):
				out.Held = append(out.Held, relay.HeldRow{ID: r.rec.ID, Shard: r.rec.Shard, Lane: r.rec.Lane()})
			}
			out.Seen = append(out.Seen, r.rec.ID)
			return true
		})
	}
}

// Backlog implements relay.Reader.
func (s *Store) Backlog(ctx context.Context, low int64, limit int) (relay.Backlog, error) {
	var b relay.Backlog
	if err := s.before(ctx, "backlog"); err != nil {
		return b, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.from(low+1, func(r *row) bool {
		if r.sentAt.IsZero() {
			b.Pending++
			b.Oldest = max(b.Oldest, time.Since(r.rec.CreatedAt))
		}
		return b.Pending < limit
	})
	return b, nil
}

// Settle implements relay.Settler.
func (s *Store) Settle(ctx context.Context, relayID uuid.UUID, set relay.Settlement) (relay.Settled, error) {
	if err := s.before(ctx, "settle"); err != nil {
		return relay.Settled{}, err
	}
	got := s.settle(relayID, set)
	if err := s.after(ctx, "settle"); err != nil {
		return relay.Settled{}, err
	}
	return got, nil
}

func (s *Store) settle(relayID uuid.UUID, set relay.Settlement) relay.Settled {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.relays[relayID] == nil {
		return relay.Settled{Fenced: true}
	}
	var got relay.Settled
	for _, a := range set.Accepted {
		if r := s.rows[a.ID]; r != nil && r.sentAt.IsZero() {
			r.sentAt, r.sentBy, r.sent = time.Now(), relayID, a
			got.Accepted++
		}
	}
	for _, d := range set.Dead {
		r := s.rows[d.ID]
		if r == nil || !r.sentAt.IsZero() || r.rec.Replays != d.Replays {
			continue
		}
		got.Dead++
		delete(s.rows, d.ID)
		if at, ok := slices.BinarySearch(s.ids, d.ID); ok {
			s.ids = slices.Delete(s.ids, at, at+1)
		}
		s.dead[d.ID] = DeadLetter{Record: r.rec, Dead: d, By: relayID, At: time.Now()}
		if d.Block {
			s.hold(&r.rec)
		}
	}
	return got
}

// hold puts a lane on hold, again if its hold was released before.
func (s *Store) hold(rec *outbox.Record) {
	h := s.holdOf(rec)
	h.event, h.released = rec.EventID, false
}

// holdOf returns the hold of a lane, made for the event if there is none, and
// has it begin at the event at the latest.
func (s *Store) holdOf(rec *outbox.Record) *hold {
	h := s.blocked[rec.Lane()]
	if h == nil {
		h = &hold{shard: rec.Shard, firstID: rec.ID, event: rec.EventID}
		s.blocked[rec.Lane()] = h
	}
	h.firstID = min(h.firstID, rec.ID)
	return h
}
