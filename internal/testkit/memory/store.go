// Package memory has doubles of the database and of a broker that live in
// memory, for tests of the relay, most of them in virtual time. They keep the
// contracts of the real ones, visibility and leases included, and count time by
// the clock of the process.
package memory

import (
	"context"
	"fmt"
	"hash/fnv"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

// Store is an outbox in memory. It implements relay.Store. It is safe for concurrent use.
type Store struct {
	// Before, when not nil, is called before each step of each operation, with "join",
	// "renew", "leave", "fetch", "backlog", "settle" or a part such as "fetch.gaps", while
	// the store is not locked. It may wait, or write. The operation fails with its error.
	Before func(ctx context.Context, step string) error
	// After, when not nil, is called when an operation has taken effect, with "join",
	// "renew", "leave", "fetch" or "settle", while the store is not locked. The operation
	// returns its error in the place of the answer, so that the answer is lost.
	After func(ctx context.Context, step string) error

	// mu guards all fields below.
	mu sync.Mutex
	// nextID and nextTx are the last row id and the last transaction number given.
	nextID int64
	nextTx int64
	// era is the stored era of the row ids, begun on the timeline eraOf. timeline counts the failovers, from 1.
	era, eraOf, timeline int64
	// rows has the committed rows, sent ones included, by row id, but no dead letters.
	rows map[int64]*row
	ids  []int64 // of rows, ascending
	// writers has the names of the open transactions that have enqueued.
	writers map[string]struct{}
	// relays has the relays that have joined and not left, by relay id. One with a lapsed lease is removed when
	// another relay renews.
	relays map[uuid.UUID]*relayRow
	// joins counts the relays that have joined.
	joins  int
	shards [outbox.Shards]shardRow
	// blocked has the blocked lanes, also released ones until their owner has unblocked them.
	blocked map[outbox.Lane]*block
	// releases counts the releases of lanes.
	releases int64
	// deadLetters is by event id: where ids came again, two have one row id.
	deadLetters map[uuid.UUID]DeadLetter
}

// row is a committed row. sentAt, sentBy (the relay) and sent are zero until a relay marks the row as sent.
type row struct {
	rec    outbox.Record
	sentAt time.Time
	sentBy uuid.UUID
	sent   relay.Accepted
}

// relayRow is a relay that has joined.
type relayRow struct {
	// started is when the relay joined, until when its run ends, and live when its lease lapses.
	started, until, live time.Time
	// position is the newest that the relay has reported, for all of its shards that are covered.
	position relay.Position
	// seq numbers the relays by the order of their joins, from 0.
	seq int
	// leaving is set once the relay has said that it gives its shards back.
	leaving bool
	// named are the shards, with their epochs, of the newest answer that reached the relay; nil before the first.
	named map[int]int64
}

// shardRow is the lease of one shard.
type shardRow struct {
	// owner is the relay id of the owner, uuid.Nil when there is none.
	owner uuid.UUID
	// epoch counts the owners that the shard has had.
	epoch int64
	// position is where the owner resumes: what the last owner that reported one for the shard had reported.
	position relay.Position
	// covered is set when the owner has reported a position for the shard, which then takes the place of position
	// when the shard is freed.
	covered bool
}

// block is a blocked lane, also after its release until its owner has unblocked it.
type block struct {
	shard int
	// event is the event id of the dead letter that blocked the lane.
	event uuid.UUID
	// firstID is the smallest row id of the lane's dead letters since the block was made.
	firstID  int64
	released bool
	// releasedAt tells one release from others; it is no real time, and zero before the first.
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
		era: 1, eraOf: 1, timeline: 1,
		rows:        map[int64]*row{},
		writers:     map[string]struct{}{},
		relays:      map[uuid.UUID]*relayRow{},
		blocked:     map[outbox.Lane]*block{},
		deadLetters: map[uuid.UUID]DeadLetter{},
	}
}

// before calls s.Before, if there is one, and returns its error, or else that of ctx when ctx has ended. s.mu must not
// be locked.
func (s *Store) before(ctx context.Context, step string) error {
	if s.Before != nil {
		if err := s.Before(ctx, step); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// after calls s.After, if there is one, and returns its error. s.mu must not be locked.
func (s *Store) after(ctx context.Context, step string) error {
	if s.After != nil {
		return s.After(ctx, step)
	}
	return nil
}

// Tx is an open transaction: what it enqueues has ids at once, and is visible
// when it commits. It is for one goroutine.
type Tx struct {
	s *Store
	// timeline is that of the store when the transaction began: a failover ends it.
	timeline int64
	// name is what Fetch calls the transaction among the writers.
	name string
	// recs has what was enqueued and neither committed nor rolled back.
	recs []outbox.Record
}

// Begin opens a transaction. From its first event until its end it is one of the writers
// that Fetch returns.
func (s *Store) Begin() *Tx {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nextTx++
	return &Tx{s: s, timeline: s.timeline, name: fmt.Sprintf("tx/%d", s.nextTx)}
}

// Enqueue adds events and returns their records, with ids in order. An event without an id
// gets one, and one without a destination gets outbox.DefaultDestination. Nothing else of
// the events is checked.
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

// RollbackTo drops all events of the transaction but the first n, as a rollback to a
// savepoint does. The ids of the others stay unused.
func (t *Tx) RollbackTo(n int) { t.recs = t.recs[:n] }

// EnqueueAt adds an event under the row id, which no row may have: a session that caches ids of the sequence inserts
// smaller ids than others. EnqueueAt uses up one more id, which stays unused.
func (t *Tx) EnqueueAt(id int64, e outbox.Event) outbox.Record {
	recs := t.Enqueue(e)
	t.recs[len(t.recs)-1].ID = id
	recs[0].ID = id
	return recs[0]
}

// Commit makes the events visible and ends the transaction: it is no writer any more. After a failover that ended the
// transaction it does nothing.
func (t *Tx) Commit() {
	s := t.s
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.writers, t.name)
	if t.timeline != s.timeline {
		t.recs = nil
	}
	for _, rec := range t.recs {
		s.rows[rec.ID] = &row{rec: rec}
		at, _ := slices.BinarySearch(s.ids, rec.ID)
		s.ids = slices.Insert(s.ids, at, rec.ID)
	}
	t.recs = nil
}

// Rollback drops the events and ends the transaction. Their ids stay unused.
func (t *Tx) Rollback() {
	s := t.s
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.writers, t.name)
	t.recs = nil
}

// Enqueue adds events in a transaction of their own, which it commits, and returns their records.
func (s *Store) Enqueue(events ...outbox.Event) []outbox.Record {
	tx := s.Begin()
	recs := tx.Enqueue(events...)
	tx.Commit()
	return recs
}

// shardOf returns the shard of an event, by a hash of its aggregate. It need not be the one that the database computes.
func shardOf(e outbox.Event) int {
	h := fnv.New64a()
	_, _ = fmt.Fprintf(h, "%d:%s%s", len(e.AggregateType), e.AggregateType, e.AggregateID)
	return int(h.Sum64() % outbox.Shards)
}

// Pending returns the number of committed events that are not sent, those of blocked lanes included, dead letters not.
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

// Sent returns the events marked as sent, each with the broker's ids of its message, by row id.
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
	for _, d := range s.deadLetters {
		out[d.ID] = d
	}
	return out
}

// deadLetter returns a dead letter with the row id, and whether there is one. s.mu is locked.
func (s *Store) deadLetter(id int64) (DeadLetter, bool) {
	for _, d := range s.deadLetters {
		if d.ID == id {
			return d, true
		}
	}
	return DeadLetter{}, false
}

// Insert commits an event under a row id that was not given, as an insert with an explicit id does.
func (s *Store) Insert(id int64, e outbox.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.Destination == "" {
		e.Destination = outbox.DefaultDestination
	}
	s.rows[id] = &row{rec: outbox.Record{Event: e, ID: id, Shard: shardOf(e), CreatedAt: time.Now()}}
	at, _ := slices.BinarySearch(s.ids, id)
	s.ids = slices.Insert(s.ids, at, id)
}

// Lose deletes the committed row of a row id, as a failover does that lost its commit.
func (s *Store) Lose(id int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.rows, id)
	if at, found := slices.BinarySearch(s.ids, id); found {
		s.ids = slices.Delete(s.ids, at, at+1)
	}
}

// Restart makes next the id of the row enqueued next, although that id may have been given before.
func (s *Store) Restart(next int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nextID = next - 1
}

// Blocked returns the blocked lanes, also released ones that their owner has not unblocked
// yet, each with the smallest row id of the dead letters that blocked it.
func (s *Store) Blocked() map[outbox.Lane]int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[outbox.Lane]int64{}
	for lane, b := range s.blocked {
		out[lane] = b.firstID
	}
	return out
}

// Release releases a blocked lane, as an operator does. For a lane that is not blocked it does nothing.
func (s *Store) Release(lane outbox.Lane) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b := s.blocked[lane]; b != nil {
		s.release(b)
	}
}

// release marks a block as released, at a time that no other release has. s.mu is locked.
func (s *Store) release(b *block) {
	s.releases++
	b.released, b.releasedAt = true, time.Unix(0, s.releases)
}

// Redrive puts the dead letter of a row id back as an unsent event under that id, with
// one replay more, and releases its lane, so that the owner reads the lane again from
// that id on. A lane that another event blocked stays blocked. For an id without a dead
// letter it does nothing.
func (s *Store) Redrive(id int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, dead := s.deadLetter(id)
	if !dead {
		return
	}
	delete(s.deadLetters, d.EventID)
	d.Record.Replays++
	s.rows[id] = &row{rec: d.Record}
	at, _ := slices.BinarySearch(s.ids, id)
	s.ids = slices.Insert(s.ids, at, id)
	b := s.blockOf(&d.Record)
	if b.released || b.event == d.Record.EventID {
		s.release(b)
	}
}

// Position returns where the next owner of a shard resumes it.
func (s *Store) Position(shard int) relay.Position {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.shards[shard].position
}

// Owner returns the relay that owns a shard and until when its lease lasts, which may
// be past; uuid.Nil and a zero time when the shard has no owner.
func (s *Store) Owner(shard int) (uuid.UUID, time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := s.shards[shard].owner
	if r := s.relays[id]; r != nil {
		return id, r.live
	}
	return uuid.Nil, time.Time{}
}

// Running reports whether the relay has joined, and has neither left nor had its lapsed
// lease taken over.
func (s *Store) Running(relay uuid.UUID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.relays[relay] != nil
}

// Settled returns which relay marked the event of a row id as sent or gave it up, and
// when; uuid.Nil and a zero time when neither has happened.
func (s *Store) Settled(id int64) (by uuid.UUID, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.rows[id]; r != nil && !r.sentAt.IsZero() {
		return r.sentBy, r.sentAt
	}
	d, _ := s.deadLetter(id)
	return d.By, d.At
}

// IsSent says whether the event of a row id is marked as sent.
func (s *Store) IsSent(id int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.rows[id]
	return r != nil && !r.sentAt.IsZero()
}

// IsDead says whether the event of a row id is among the dead letters.
func (s *Store) IsDead(id int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, dead := s.deadLetter(id)
	return dead
}

// IsDeadEvent says whether the event of an event id is among the dead letters.
func (s *Store) IsDeadEvent(event uuid.UUID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, dead := s.deadLetters[event]
	return dead
}

// IsBlocked says whether the lane is blocked and not released.
func (s *Store) IsBlocked(lane outbox.Lane) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.blocked[lane]
	return b != nil && !b.released
}
