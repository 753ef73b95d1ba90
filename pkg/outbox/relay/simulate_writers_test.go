package relay_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/history"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/memory"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

// openTx is a transaction that can be ended by its writer or from a hook,
// whoever comes first.
type openTx struct {
	tx   *memory.Tx
	recs []outbox.Record
	over bool
}

// newEvent makes an event, of a hot aggregate more often than not.
func (s *sim) newEvent(r *rand.Rand) outbox.Event {
	dest := fmt.Sprint("d", r.IntN(s.p.destinations))
	if s.p.unknownDestination && r.IntN(10) == 0 {
		dest = "late"
	}
	hot := int(math.Pow(r.Float64(), 3) * float64(s.p.aggregates))
	e := outbox.Event{AggregateType: "t", AggregateID: fmt.Sprint("a", hot), Type: "e", Destination: dest}
	for i := range e.EventID {
		e.EventID[i] = byte(r.Uint32())
	}
	e.EventID = uuid.Must(uuid.FromBytes(e.EventID[:]))
	body := fmt.Sprintf(`{"n":%d}`, r.Uint32())
	if r.Float64() < s.p.poison {
		body = fmt.Sprintf(`{"n":%d,"poison":true}`, r.Uint32())
		if r.IntN(3) == 0 {
			body = fmt.Sprintf(`{"poison":%q}`, strings.Repeat("x", simMaxMessage))
		}
	}
	e.Payload = json.RawMessage(body)
	return e
}

// write adds n events to a transaction.
func (s *sim) write(r *rand.Rand, o *openTx, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if o.over {
		return
	}
	for range n {
		rec := o.tx.Enqueue(s.newEvent(r))[0]
		o.recs = append(o.recs, rec)
		e := &simEvent{rec: rec, poison: strings.Contains(string(rec.Payload), "poison")}
		s.events[rec.ID] = e
		s.byID[rec.EventID] = e
		s.note(rec.Lane(), "event %d written, poison %v", rec.ID, e.poison)
	}
}

func (s *sim) beginTx() *openTx {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := &openTx{tx: s.store.Begin()}
	s.open = append(s.open, o)
	return o
}

// finish ends a transaction unless it has ended.
func (s *sim) finish(o *openTx, commit bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if o.over {
		return false
	}
	o.over = true
	s.open = slices.DeleteFunc(s.open, func(x *openTx) bool { return x == o })
	if !commit {
		o.tx.Rollback()
		s.dropped(o.recs)
		return true
	}
	o.tx.Commit()
	at := s.now()
	for _, rec := range o.recs {
		e := s.events[rec.ID]
		e.visible = true
		s.record.Committed(history.Commit{Began: at, Done: at}, e.historical())
		s.note(rec.Lane(), "event %d committed", rec.ID)
	}
	return true
}

func (s *sim) dropped(recs []outbox.Record) {
	for _, rec := range recs {
		s.record.RolledBack(s.events[rec.ID].historical())
		s.note(rec.Lane(), "event %d rolled back", rec.ID)
	}
}

// rollBackTo drops all but the first keep events of a transaction.
func (s *sim) rollBackTo(o *openTx, keep int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if o.over || keep >= len(o.recs) {
		return
	}
	o.tx.RollbackTo(keep)
	s.dropped(o.recs[keep:])
	o.recs = o.recs[:keep]
}

// writer writes until the chaos ends.
func (s *sim) writer(n int) {
	r := s.stream("writer", n)
	gap := between(r, 20*time.Millisecond, 250*time.Millisecond)
	for {
		pass(between(r, time.Microsecond, 2*gap))
		now := time.Since(s.started)
		if s.p.silence > 0 && now > s.p.quiet && now < s.p.quiet+s.p.silence {
			pass(s.p.quiet + s.p.silence - now)
		}
		if now > s.p.chaos {
			return
		}
		s.transaction(r)
	}
}

func (s *sim) transaction(r *rand.Rand) {
	o := s.beginTx()
	commit := r.IntN(5) != 0
	hold := between(r, time.Microsecond, 900*time.Millisecond)
	inner := rand.New(rand.NewPCG(r.Uint64(), r.Uint64()))
	later := func(f func()) {
		s.wg.Go(func() {
			f()
			pass(hold)
			s.finish(o, commit)
		})
	}
	switch k := r.IntN(20); {
	case k < 10: // at once
		s.write(r, o, 1+r.IntN(3))
		s.finish(o, k != 0)
	case k < 15: // held open, written in pieces
		later(func() {
			for range 1 + inner.IntN(3) {
				s.write(inner, o, 1+inner.IntN(3))
				pass(between(inner, time.Microsecond, 20*time.Millisecond))
			}
		})
	case k < 17: // a savepoint that is rolled back
		later(func() {
			s.write(inner, o, 1+inner.IntN(4))
			s.rollBackTo(o, inner.IntN(3))
			s.write(inner, o, 1)
		})
	case k < 18: // large and late
		later(func() { s.write(inner, o, s.p.fetchLimit*(1+inner.IntN(2))+1) })
	default: // two that take turns
		other := s.beginTx()
		for range 2 + r.IntN(4) {
			s.write(r, o, 1)
			s.write(r, other, 1)
		}
		s.finish(other, true)
		later(func() {})
	}
}

// gapMaker leaves more gaps than the list of gaps may hold.
func (s *sim) gapMaker() {
	r := s.stream("gaps")
	busy := s.p.chaos - s.p.silence
	pass(between(r, time.Millisecond, busy/4))
	late, now := s.beginTx(), s.beginTx()
	for range 600 {
		s.write(r, late, 1)
		s.write(r, now, 1)
	}
	s.finish(now, true)
	pass(between(r, time.Millisecond, 2*busy))
	s.finish(late, r.IntN(3) != 0)
}

// operator releases blocked lanes and redrives dead letters now and then.
func (s *sim) operator() {
	r := s.stream("operator")
	for time.Since(s.started) < s.p.chaos {
		wait := between(r, 50*time.Millisecond, 700*time.Millisecond)
		if s.p.busyOperator {
			wait /= 8
		}
		pass(wait)
		s.operate(r)
	}
}

func (s *sim) operate(r *rand.Rand) {
	if !s.p.operator {
		return
	}
	if r.Float64() < s.p.redrive {
		s.redriveOne(r)
		return
	}
	s.releaseOne(r)
}

func (s *sim) releaseOne(r *rand.Rand) {
	blocked := s.blockedLanes()
	if len(blocked) == 0 || !s.p.operator {
		return
	}
	lane := blocked[r.IntN(len(blocked))]
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults["release of a blocked lane"]++
	s.note(lane, "released")
	s.store.Release(lane)
}

// redriveOne puts a dead letter back. One that may have been accepted, or still
// is on its way, is left alone: an operator would send it a second time.
func (s *sim) redriveOne(r *rand.Rand) {
	dead := slices.Sorted(maps.Keys(s.store.DeadLetters()))
	s.mu.Lock()
	defer s.mu.Unlock()
	dead = slices.DeleteFunc(dead, func(id int64) bool {
		e := s.events[id]
		return e == nil || slices.ContainsFunc(e.attempts, func(t *attempt) bool { return t.travels || t.accepted })
	})
	if len(dead) == 0 {
		return
	}
	e := s.events[dead[r.IntN(len(dead))]]
	e.replays++
	for _, t := range e.attempts {
		t.unanswered = false
	}
	s.faults["redrive of a dead letter"]++
	s.note(e.rec.Lane(), "event %d redriven", e.rec.ID)
	s.record.Cause(history.Cause{Kind: history.Replay, At: s.now(), Events: s.ids(e)})
	s.store.Redrive(e.rec.ID)
}

// blockedLanes returns the blocked lanes that are not released, in order.
func (s *sim) blockedLanes() []outbox.Lane {
	var out []outbox.Lane
	for lane := range s.store.Blocked() {
		if s.store.IsBlocked(lane) {
			out = append(out, lane)
		}
	}
	slices.SortFunc(out, func(a, b outbox.Lane) int {
		return strings.Compare(a.Destination+"/"+a.AggregateID, b.Destination+"/"+b.AggregateID)
	})
	return out
}
