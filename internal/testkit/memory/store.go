// Package memory has doubles of the database and of a broker that live in
// memory: for tests of the relay in virtual time, and for users who test code
// around it. They keep the contracts of the real ones, visibility and leases
// included, and count time by the clock of the process.
package memory

import (
	"context"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

// Store is an outbox in memory. It implements the relay's contracts. It is safe
// for concurrent use.
type Store struct {
	// Before, when not nil, is called before each step of each operation, with
	// names such as "fetch", "fetch.gaps", "settle", "renew", and without the
	// store being locked. It may wait, write, or return an error that the
	// operation then fails with.
	Before func(ctx context.Context, step string) error
	// After is called when an operation has taken effect. An error from it
	// loses the answer.
	After func(ctx context.Context, step string) error

	mu      sync.Mutex
	nextID  int64
	nextTx  int64
	rows    map[int64]*row
	ids     []int64 // of committed rows, ascending
	writers map[string]struct{}
	relays  map[uuid.UUID]*relayRow
	joins   int
	shards  [outbox.Shards]shardRow
	blocked map[outbox.Lane]*block
	// releases counts the releases of lanes.
	releases    int64
	deadLetters map[int64]DeadLetter
}

type row struct {
	rec    outbox.Record
	sentAt time.Time
	sentBy uuid.UUID
	sent   relay.Accepted
}

type relayRow struct {
	name                 string
	started, until, live time.Time
	position             relay.Position
	seq                  int
	leaving              bool
	// named are the shards, with their epochs, of the newest answer that reached
	// the relay.
	named map[int]int64
}

type shardRow struct {
	owner    uuid.UUID
	epoch    int64
	position relay.Position
	// covered is set when the owner has reported a position for the shard. Until then the position here stays
	// valid.
	covered bool
}

// block is a blocked lane.
type block struct {
	shard int
	// event is the dead letter that blocked the lane.
	event      uuid.UUID
	firstID    int64
	released   bool
	releasedAt time.Time
}

// DeadLetter is an event that a relay gave up.
type DeadLetter struct {
	relay.DeadLetter
	Record outbox.Record
	// By is the relay that gave the event up, and At when.
	By uuid.UUID
	At time.Time
}

// NewStore returns an empty store.
func NewStore() *Store {
	return &Store{
		rows:    map[int64]*row{},
		writers: map[string]struct{}{},
		relays:  map[uuid.UUID]*relayRow{},
		blocked: map[outbox.Lane]*block{},

		deadLetters: map[int64]DeadLetter{},
	}
}

func (s *Store) before(ctx context.Context, step string) error {
	if s.Before != nil {
		if err := s.Before(ctx, step); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func (s *Store) after(ctx context.Context, step string) error {
	if s.After != nil {
		return s.After(ctx, step)
	}
	return nil
}

// Tx is an open transaction: what it enqueues has ids at once, and is visible
// when it commits.
type Tx struct {
	s    *Store
	name string
	recs []outbox.Record
}

// Begin opens a transaction. It counts as a writer from its first event on.
func (s *Store) Begin() *Tx {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nextTx++
	return &Tx{s: s, name: fmt.Sprintf("tx/%d", s.nextTx)}
}

// Enqueue adds events and returns their records.
func (t *Tx) Enqueue(events ...outbox.Event) []outbox.Record {
	s := t.s
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writers[t.name] = struct{}{}
	first := len(t.recs)
	for _, e := range events {
		s.nextID++
		if e.EventID == uuid.Nil {
			e.EventID = uuid.Must(uuid.NewV7())
		}
		if e.Destination == "" {
			e.Destination = outbox.DefaultDestination
		}
		t.recs = append(t.recs, outbox.Record{Event: e, ID: s.nextID, Shard: shardOf(e), CreatedAt: time.Now()})
	}
	return slices.Clone(t.recs[first:])
}

// RollbackTo drops all events but the first n, as a rollback to a savepoint does.
// The ids of the others stay unused.
func (t *Tx) RollbackTo(n int) { t.recs = t.recs[:n] }

// EnqueueAt adds an event under an id drawn earlier, like a session whose sequence has a cache.
func (t *Tx) EnqueueAt(id int64, e outbox.Event) outbox.Record {
	recs := t.Enqueue(e)
	t.recs[len(t.recs)-1].ID = id
	recs[0].ID = id
	return recs[0]
}

// Commit makes the events visible.
func (t *Tx) Commit() {
	s := t.s
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.writers, t.name)
	for _, rec := range t.recs {
		s.rows[rec.ID] = &row{rec: rec}
		at, _ := slices.BinarySearch(s.ids, rec.ID)
		s.ids = slices.Insert(s.ids, at, rec.ID)
	}
	t.recs = nil
}

// Rollback drops the events. Their ids stay unused.
func (t *Tx) Rollback() {
	s := t.s
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.writers, t.name)
	t.recs = nil
}

// Enqueue adds events in a transaction of their own.
func (s *Store) Enqueue(events ...outbox.Event) []outbox.Record {
	tx := s.Begin()
	recs := tx.Enqueue(events...)
	tx.Commit()
	return recs
}

func shardOf(e outbox.Event) int {
	h := fnv.New64a()
	_, _ = fmt.Fprintf(h, "%d:%s%s", len(e.AggregateType), e.AggregateType, e.AggregateID)
	return int(h.Sum64() % outbox.Shards)
}

// Pending returns the number of unsent events.
func (s *Store) Pending() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, r := range s.rows {
		if r.sentAt.IsZero() {
			n++
		}
	}
	return n
}

// Sent returns the events marked as sent, by row id.
func (s *Store) Sent() map[int64]relay.Accepted {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[int64]relay.Accepted{}
	for id, r := range s.rows {
		if !r.sentAt.IsZero() {
			out[id] = r.sent
		}
	}
	return out
}

// DeadLetters returns the dead letters, by row id.
func (s *Store) DeadLetters() map[int64]DeadLetter {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[int64]DeadLetter{}
	maps.Copy(out, s.deadLetters)
	return out
}

// Blocked returns the blocked lanes and the id of their first event.
func (s *Store) Blocked() map[outbox.Lane]int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[outbox.Lane]int64{}
	for lane, b := range s.blocked {
		out[lane] = b.firstID
	}
	return out
}

// Release releases a blocked lane, as an operator does.
func (s *Store) Release(lane outbox.Lane) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b := s.blocked[lane]; b != nil {
		s.release(b)
	}
}

// release marks a block as released, at a time that no other release has.
func (s *Store) release(b *block) {
	s.releases++
	b.released, b.releasedAt = true, time.Unix(0, s.releases)
}

// Redrive puts a dead letter back as an event under its old id, in its next
// generation, and releases its lane, which is read again from there on. A lane
// that another event blocked stays blocked.
func (s *Store) Redrive(id int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, dead := s.deadLetters[id]
	if !dead {
		return
	}
	delete(s.deadLetters, id)
	d.Record.Replays++
	s.rows[id] = &row{rec: d.Record}
	at, _ := slices.BinarySearch(s.ids, id)
	s.ids = slices.Insert(s.ids, at, id)
	b := s.blockOf(&d.Record)
	if b.released || b.event == d.Record.EventID {
		s.release(b)
	}
}

// Owner returns the relay that owns a shard and until when its lease lasts,
// uuid.Nil when there is none.
func (s *Store) Owner(shard int) (uuid.UUID, time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := s.shards[shard].owner
	if r := s.relays[id]; r != nil {
		return id, r.live
	}
	return uuid.Nil, time.Time{}
}

// Running says whether the relay is still known: it has joined, and has neither
// left nor had its lapsed lease taken over.
func (s *Store) Running(relay uuid.UUID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.relays[relay] != nil
}

// Settled returns which relay marked the event as sent or gave it up, and when;
// uuid.Nil when neither has happened.
func (s *Store) Settled(id int64) (by uuid.UUID, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.rows[id]; r != nil && !r.sentAt.IsZero() {
		return r.sentBy, r.sentAt
	}
	d := s.deadLetters[id]
	return d.By, d.At
}

// IsSent says whether the event is marked as sent.
func (s *Store) IsSent(id int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.rows[id]
	return r != nil && !r.sentAt.IsZero()
}

// IsDead says whether the event is among the dead letters.
func (s *Store) IsDead(id int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, dead := s.deadLetters[id]
	return dead
}

// IsBlocked says whether the lane is blocked and not released.
func (s *Store) IsBlocked(lane outbox.Lane) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.blocked[lane]
	return b != nil && !b.released
}

// Owners returns the number of shards that each relay owns, by name.
func (s *Store) Owners() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string]int{}
	for i := range s.shards {
		if r := s.relays[s.shards[i].owner]; r != nil {
			out[r.name]++
		}
	}
	return out
}
