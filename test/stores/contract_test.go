// Package stores_test holds the implementations of [relay.Store] to its
// contract: the store in memory, on which the relay is simulated, has to do what
// the one on PostgreSQL does.
package stores_test

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

// harness is an empty store, and what writers and operators do to it.
type harness struct {
	store relay.Store
	// begin opens a transaction of a writer.
	begin func(t *testing.T) writer
	// release releases a blocked lane, as an operator does.
	release func(t *testing.T, lane outbox.Lane)
	// redrive puts a dead letter back, as an operator does.
	redrive func(t *testing.T, id int64)
	// blocked says whether the lane is blocked and not released.
	blocked func(t *testing.T, lane outbox.Lane) bool
	// dead says whether the event is a dead letter.
	dead func(t *testing.T, event uuid.UUID) bool
	// explicit commits an event under a row id that was not given.
	explicit func(t *testing.T, id int64, e outbox.Event)
	// restart makes next the id of the row written next, although that id was given before.
	restart func(t *testing.T, next int64)
}

// writer is the transaction of a writer.
type writer interface {
	// Enqueue writes an event and returns its row id.
	Enqueue(t *testing.T, e outbox.Event) int64
	Commit(t *testing.T)
	Rollback(t *testing.T)
}

// recordingWriter is a writer that notes the event id of each row that it writes in events.
type recordingWriter struct {
	writer
	events map[int64]uuid.UUID
}

func (w recordingWriter) Enqueue(t *testing.T, e outbox.Event) int64 {
	t.Helper()
	id := w.writer.Enqueue(t, e)
	w.events[id] = e.EventID
	return id
}

// conform tests the contract of [relay.Store]. In calls f with a store of its
// own, where time passes as it does for the store.
func conform(t *testing.T, in func(t *testing.T, f func(t *testing.T, h harness))) {
	t.Helper()
	all := map[string]func(*testing.T, *world){}
	for _, some := range []map[string]func(*testing.T, *world){leaseTests(), readerTests(), settlerTests(), blockedTests(), eraTests()} {
		maps.Copy(all, some)
	}
	for name, test := range all {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in(t, func(t *testing.T, h harness) { //nolint:thelper // the body of the test
				w := &world{harness: h, events: map[int64]uuid.UUID{}}
				begin := h.begin
				w.begin = func(t *testing.T) writer { return recordingWriter{begin(t), w.events} } //nolint:thelper // an adapter
				test(t, w)
			})
		})
	}
}

// ttl is the length of a lease that is not meant to lapse.
const ttl = time.Minute

// world adds what the tests have in common.
type world struct {
	harness
	// events has the event ids of the rows that were written, by row id.
	events map[int64]uuid.UUID
	// era is the newest that an answer to a renewal told.
	era int64
	// last is the relay that atPosition entered last.
	last uuid.UUID
}

// join enters a relay, whatever others there are.
func (w *world) join(t *testing.T, ttl time.Duration) uuid.UUID {
	t.Helper()
	id := uuid.New()
	if !w.ask(t, relay.Join{RelayID: id, TTL: ttl, RunFor: time.Hour, Relays: 1000}) {
		t.Fatal("not admitted")
	}
	return id
}

func (w *world) ask(t *testing.T, j relay.Join) bool {
	t.Helper()
	j.Name = "test"
	j.TTL = cmp.Or(j.TTL, ttl)
	ok, err := w.store.Join(t.Context(), j)
	if err != nil {
		t.Fatalf("join: %v", err)
	}
	return ok
}

// owner enters a relay that owns every shard.
func (w *world) owner(t *testing.T) uuid.UUID {
	t.Helper()
	id := w.join(t, ttl)
	if n := len(w.renew(t, relay.Renewal{RelayID: id}).Shards); n != outbox.Shards {
		t.Fatalf("the only relay owns %d shards", n)
	}
	return id
}

func (w *world) renew(t *testing.T, r relay.Renewal) relay.Lease {
	t.Helper()
	r.TTL = cmp.Or(r.TTL, ttl)
	r.Relays = cmp.Or(r.Relays, 1)
	r.Era = cmp.Or(r.Era, w.era)
	lease, err := w.store.Renew(t.Context(), r)
	if err != nil {
		t.Fatalf("renew: %v", err)
	}
	w.era = lease.Era
	return lease
}

func (w *world) lost(t *testing.T, id uuid.UUID) {
	t.Helper()
	if _, err := w.store.Renew(t.Context(), relay.Renewal{RelayID: id, TTL: ttl, Relays: 1}); !errors.Is(err, relay.ErrLeaseLost) {
		t.Errorf("renewal = %v, want ErrLeaseLost", err)
	}
}

func (w *world) leave(t *testing.T, id uuid.UUID, p relay.Position) {
	t.Helper()
	if err := w.store.Leave(t.Context(), id, w.era, p); err != nil {
		t.Fatalf("leave: %v", err)
	}
}

func (w *world) fetch(t *testing.T, f relay.Fetch) relay.Fetched {
	t.Helper()
	f.GapLimit = cmp.Or(f.GapLimit, 1000)
	if f.Shards == nil {
		f.Shards = shards(0, outbox.Shards)
	}
	got, err := w.store.Fetch(t.Context(), f)
	if err != nil {
		t.Fatalf("fetch: %v", err)
	}
	return got
}

// settle settles s, after it has put the event ids that were written into entries without one.
func (w *world) settle(t *testing.T, id uuid.UUID, s relay.Settlement) relay.Settled {
	t.Helper()
	for i, a := range s.Accepted {
		if a.EventID == uuid.Nil {
			s.Accepted[i].EventID = w.events[a.ID]
		}
	}
	for i, d := range s.DeadLetters {
		if d.EventID == uuid.Nil {
			s.DeadLetters[i].EventID = w.events[d.ID]
		}
	}
	got, err := w.store.Settle(t.Context(), id, s)
	if err != nil {
		t.Fatalf("settle: %v", err)
	}
	return got
}

// bury settles an event as a dead letter.
func (w *world) bury(t *testing.T, id uuid.UUID, row int64, block bool) {
	t.Helper()
	if got := w.settle(t, id, relay.Settlement{DeadLetters: []relay.DeadLetter{{ID: row, Attempts: 1, Code: "C", Reason: "R", Block: block}}}); got.DeadLetters != 1 {
		t.Fatalf("settled %+v, want one dead letter", got)
	}
}

// write commits an event of the aggregate at the default destination.
func (w *world) write(t *testing.T, aggregate string) int64 {
	t.Helper()
	return w.writeTo(t, outbox.DefaultDestination, aggregate)
}

func (w *world) writeTo(t *testing.T, destination, aggregate string) int64 {
	t.Helper()
	tx := w.begin(t)
	e := event(aggregate)
	e.Destination = destination
	id := tx.Enqueue(t, e)
	tx.Commit(t)
	return id
}

func event(aggregate string) outbox.Event {
	return outbox.Event{
		EventID: uuid.Must(uuid.NewV7()), AggregateType: "order", AggregateID: aggregate, Type: "placed",
		Destination: outbox.DefaultDestination, Payload: fmt.Appendf(nil, "%q", aggregate),
	}
}

func laneOf(aggregate string) outbox.Lane {
	return outbox.Lane{Destination: outbox.DefaultDestination, AggregateType: "order", AggregateID: aggregate}
}

// shards returns the numbers from..to-1.
func shards(from, to int) []int {
	var all []int
	for n := from; n < to; n++ {
		all = append(all, n)
	}
	return all
}

func shardsOf(lease relay.Lease) []int {
	var all []int
	for _, s := range lease.Shards {
		all = append(all, s.Shard)
	}
	return all
}

func accept(ids ...int64) relay.Settlement {
	var s relay.Settlement
	for _, id := range ids {
		s.Accepted = append(s.Accepted, relay.Accepted{ID: id, MessageID: fmt.Sprint("m", id), SequenceNumber: "1"})
	}
	return s
}

func rowIDs(rows []relay.Row) (all, mine []int64) {
	for _, r := range rows {
		all = append(all, r.ID)
		if r.Record != nil {
			mine = append(mine, r.ID)
		}
	}
	return all, mine
}

func recordIDs(records []outbox.Record) []int64 {
	var ids []int64
	for i := range records {
		ids = append(ids, records[i].ID)
	}
	return ids
}

func want(t *testing.T, what string, got []int64, ids ...int64) {
	t.Helper()
	if !slices.Equal(got, ids) {
		t.Errorf("%s = %v, want %v", what, got, ids)
	}
}

// pass lets time pass.
func pass(d time.Duration) { <-time.After(d) }
