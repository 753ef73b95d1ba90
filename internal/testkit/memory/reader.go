package memory

import (
	"context"
	"errors"
	"math"
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
	s.mu.Lock()
	out.Era, out.LastID = s.currentEra(), s.nextID
	timeline := s.timeline
	s.mu.Unlock()
	for _, scan := range f.Scans {
		if err := s.before(ctx, "fetch.scan"); err != nil {
			return out, err
		}
		out.Scans = append(out.Scans, s.scan(scan, f.Shards))
	}
	if err := s.backfills(ctx, f, &out); err != nil {
		return out, err
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
	out.Gaps = s.gaps(f)
	if s.failedOver(timeline) {
		return relay.Fetched{}, errors.New("fetch: the connection broke")
	}
	if f.Bytes > 0 {
		out.Bound(f.Bytes, contentBytes)
	}
	if err := s.after(ctx, "fetch"); err != nil {
		return relay.Fetched{}, err
	}
	return out, nil
}

// contentBytes returns the size of a record's payload and headers.
func contentBytes(r *outbox.Record) int {
	n := len(r.Payload)
	for k, v := range r.Headers {
		n += len(k) + len(v)
	}
	return n
}

// backfills answers the reads of deferred rows (destinations, lanes, searches) and the sweep, and adds the answers to
// out. Before is called for each, with "fetch.backfill".
func (s *Store) backfills(ctx context.Context, f relay.Fetch, out *relay.Fetched) error {
	step := func() error { return s.before(ctx, "fetch.backfill") }
	for _, b := range f.Destinations {
		if err := step(); err != nil {
			return err
		}
		out.Destinations = append(out.Destinations, s.page(b.Page, func(r *row) bool {
			return s.mine(r, f.Shards)
		}, b.Destination))
	}
	for _, b := range f.Searches {
		if err := step(); err != nil {
			return err
		}
		got := s.page(relay.Page{From: b.From, Limit: 1, Examine: b.Examine}, func(r *row) bool {
			return slices.Contains(f.Shards, r.rec.Shard) && r.rec.Lane() == b.Lane
		}, b.Lane.Destination)
		start := relay.LaneStart{Next: got.Next}
		if len(got.Records) > 0 {
			start = relay.LaneStart{First: got.Records[0].ID}
		}
		out.Searches = append(out.Searches, start)
	}
	for _, b := range f.Lanes {
		if err := step(); err != nil {
			return err
		}
		out.Lanes = append(out.Lanes, s.page(b.Page, func(r *row) bool {
			return s.mine(r, f.Shards) && r.rec.Lane() == b.Lane
		}, b.Lane.Destination))
	}
	if f.Sweep != nil {
		if err := step(); err != nil {
			return err
		}
		out.Sweep = s.sweep(*f.Sweep, f.Shards)
		if f.Sweep.Unknown {
			out.Unknown = s.unknown(f.Sweep.Destinations)
		}
	}
	return nil
}

// from calls f with the committed rows from row id on, in order, sent ones included, until f returns false. s.mu is
// locked.
func (s *Store) from(id int64, f func(*row) bool) {
	at, _ := slices.BinarySearch(s.ids, id)
	for _, id := range s.ids[at:] {
		if r := s.rows[id]; r != nil && !f(r) {
			return
		}
	}
}

// mine reports whether a row is unsent, in one of the shards, and of a lane that s.blocked lacks: a released lane stays
// there until its owner has unblocked it. s.mu is locked.
func (s *Store) mine(r *row, shards []int) bool {
	return r.sentAt.IsZero() && slices.Contains(shards, r.rec.Shard) && s.blocked[r.rec.Lane()] == nil
}

// scan returns up to scan.Limit rows after the id scan.After, each with its record when mine accepts it for scan.Shards,
// or for shards when scan.Shards is nil.
func (s *Store) scan(scan relay.Scan, shards []int) []relay.Row {
	s.mu.Lock()
	defer s.mu.Unlock()
	if scan.Shards != nil {
		shards = scan.Shards
	}
	var out []relay.Row
	s.from(scan.After+1, func(r *row) bool {
		if len(out) == scan.Limit || r.rec.ID > s.nextID {
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

// page returns up to p.Limit unsent rows of the destination from p.From on, and below p.Before if that is not 0, for
// which wanted is true, after a look at up to p.Examine unsent ones. Next is the id of the first unsent row that it did
// not look at, p.Before when it looked at all below, 0 when there is none.
func (s *Store) page(p relay.Page, wanted func(*row) bool, destination string) relay.Backfilled {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out relay.Backfilled
	examined := 0
	out.Next = p.Before
	s.from(p.From, func(r *row) bool {
		if p.Before != 0 && r.rec.ID >= p.Before {
			return false
		}
		if !r.sentAt.IsZero() || r.rec.Destination != destination {
			return true
		}
		if len(out.Records) == p.Limit || examined == p.Examine {
			out.Next = r.rec.ID
			return false
		}
		examined++
		if wanted(r) {
			out.Records = append(out.Records, r.rec)
		}
		return true
	})
	return out
}

// sweep returns up to p.Limit rows from p.From on and below p.Before that mine accepts. Next is where the next sweep
// goes on: p.Before when nothing is left below.
func (s *Store) sweep(p relay.Sweep, shards []int) relay.Backfilled {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.Before == 0 {
		p.From, p.Before = max(p.From, s.nextID+1), math.MaxInt64
	}
	out := relay.Backfilled{Next: p.Before}
	s.from(p.From, func(r *row) bool {
		switch {
		case r.rec.ID >= p.Before:
			return false
		case !r.sentAt.IsZero():
			return true
		case len(out.Records) == p.Limit:
			out.Next = r.rec.ID
			return false
		case s.mine(r, shards) && slices.Contains(p.Destinations, r.rec.Destination):
			out.Records = append(out.Records, r.rec)
		}
		return true
	})
	return out
}

// unknown returns the destinations of unsent rows that are not among known.
func (s *Store) unknown(known []string) (out []relay.UnknownDestination) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.from(1, func(r *row) bool {
		if name := r.rec.Destination; r.sentAt.IsZero() && !slices.Contains(known, name) {
			at := slices.IndexFunc(out, func(d relay.UnknownDestination) bool { return d.Name == name })
			if at < 0 {
				at = len(out)
				out = append(out, relay.UnknownDestination{Name: name, FirstID: r.rec.ID})
			}
			out[at].Events++
		}
		return true
	})
	return out
}

// gaps returns the rows that are visible now within f.Gaps, at most f.GapLimit in all: all their IDs, the Records of
// those that mine accepts, and Blocked for unsent ones of blocked lanes. Through is the id of the last row when there
// are more, and otherwise 0.
func (s *Store) gaps(f relay.Fetch) (out relay.GapRows) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range f.Gaps {
		s.from(g.From, func(r *row) bool {
			if r.rec.ID > g.To || out.Through != 0 {
				return false
			}
			if len(out.IDs) == f.GapLimit {
				out.Through = out.IDs[len(out.IDs)-1]
				return false
			}
			switch {
			case s.mine(r, f.Shards):
				out.Records = append(out.Records, r.rec)
			case r.sentAt.IsZero() && slices.Contains(f.Shards, r.rec.Shard):
				out.Blocked = append(out.Blocked, relay.BlockedRow{ID: r.rec.ID, Shard: r.rec.Shard, Lane: r.rec.Lane()})
			}
			out.IDs = append(out.IDs, r.rec.ID)
			return true
		})
	}
	return out
}

// Backlog implements relay.Reader.
func (s *Store) Backlog(ctx context.Context, lows map[string]int64, limit int) (relay.Backlog, error) {
	var b relay.Backlog
	if err := s.before(ctx, "backlog"); err != nil {
		return b, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.from(1, func(r *row) bool {
		if r.sentAt.IsZero() && r.rec.ID > lows[r.rec.Destination] {
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

// settle marks rows as sent and buries others, passes over rows that are sent already, were redriven since or are other
// events', and counts those that it changed. When the relay is not known it changes nothing: the settlement is then fenced.
func (s *Store) settle(relayID uuid.UUID, set relay.Settlement) relay.Settled {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.relays[relayID] == nil {
		return relay.Settled{Fenced: true}
	}
	var got relay.Settled
	for _, a := range set.Accepted {
		r := s.rows[a.ID]
		if r != nil && r.rec.EventID != a.EventID {
			got.Mismatched++
			continue
		}
		if r != nil && r.sentAt.IsZero() {
			r.sentAt, r.sentBy, r.sent = time.Now(), relayID, a
			got.Accepted++
		}
	}
	for _, d := range set.DeadLetters {
		r := s.rows[d.ID]
		if r != nil && r.rec.EventID != d.EventID {
			got.Mismatched++
			continue
		}
		if r == nil || !r.sentAt.IsZero() || r.rec.Replays != d.Replays {
			continue
		}
		got.DeadLetters++
		delete(s.rows, d.ID)
		if at, ok := slices.BinarySearch(s.ids, d.ID); ok {
			s.ids = slices.Delete(s.ids, at, at+1)
		}
		s.deadLetters[d.EventID] = DeadLetter{DeadLetter: d, Record: r.rec, By: relayID, At: time.Now()}
		if d.Block {
			b := s.blockOf(&r.rec)
			b.event, b.released = r.rec.EventID, false // It blocks again what was released before.
		}
	}
	return got
}

// blockOf returns the block of the event's lane, which it makes if there is none, and lowers its firstID to the
// event's row id when that is smaller. s.mu is locked.
func (s *Store) blockOf(rec *outbox.Record) *block {
	b := s.blocked[rec.Lane()]
	if b == nil {
		b = &block{shard: rec.Shard, firstID: rec.ID, event: rec.EventID}
		s.blocked[rec.Lane()] = b
	}
	b.firstID = min(b.firstID, rec.ID)
	return b
}
