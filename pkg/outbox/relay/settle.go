package relay

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

// maxSettle is the most events in one settlement, so that a settlement that a fault delayed does not become
// ever larger.
const maxSettle = 2_000

// settling is the items that wait to be settled. They are settled in bulk, outside of the loop's goroutine, one
// settlement at a time: when the time every has passed since first, or at once when at least limit items wait.
type settling struct {
	// items wait for a settlement to start. The items of the settlement under way are not among them.
	items []*item
	// first is when the first of items came, or when the last settlement began if that is later.
	first time.Time
	// running is set while a settlement is under way.
	running bool
	// failures counts the settlements that failed since one succeeded. None starts before retryAt.
	failures int
	retryAt  time.Time
	// every is Config.SettleEvery, limit is Config.SettleLimit.
	every time.Duration
	limit int
}

// empty says whether no item waits and no settlement is under way.
func (s *settling) empty() bool { return len(s.items) == 0 && !s.running }

// push adds an item, which came at the time at, and sets its answer: what is to be written of the event.
func (s *settling) push(it *item, answer outbox.Result, at time.Time) {
	if len(s.items) == 0 {
		s.first = at
	}
	it.answer = answer
	s.items = append(s.items, it)
}

// due returns when the next settlement is to start, which may be past. The second result is false when no item
// waits or a settlement is under way.
func (s *settling) due() (time.Time, bool) {
	if s.running || len(s.items) == 0 {
		return time.Time{}, false
	}
	at := s.first.Add(s.every)
	if len(s.items) >= s.limit {
		at = s.first
	}
	if at.Before(s.retryAt) {
		at = s.retryAt
	}
	return at, true
}

// take removes and returns the first items, at most maxSettle. Nothing in s refers to them any more: a slice that went
// on behind them would keep them in memory.
func (s *settling) take() []*item {
	n := min(len(s.items), maxSettle)
	items := slices.Clone(s.items[:n])
	s.items = slices.Delete(s.items, 0, n)
	return items
}

// settlement returns what is to be written of the items.
func settlement(items []*item) Settlement {
	s := Settlement{Accepted: make([]Accepted, 0, len(items))}
	for _, it := range items {
		r := &it.answer
		if r.Class == outbox.Accepted {
			s.Accepted = append(s.Accepted, Accepted{
				ID: it.rec.ID, EventID: it.rec.EventID, MessageID: r.MessageID, SequenceNumber: r.SequenceNumber,
			})
			continue
		}
		d := DeadLetter{
			ID: it.rec.ID, EventID: it.rec.EventID, Replays: it.rec.Replays,
			Attempts: max(1, it.attempts), Code: r.Code, Block: it.blocks,
		}
		if r.Err != nil {
			d.Reason = r.Err.Error()
		}
		s.DeadLetters = append(s.DeadLetters, d)
	}
	return s
}

// maybeSettle starts a settlement when one is due, and at the end of the run as soon as an item waits and no
// back-off is under way. It starts none after a lost lease. A settlement may take fetchTimeout or
// ShutdownGrace, whichever is shorter.
func (l *loop) maybeSettle(now time.Time) {
	at, due := l.settle.due()
	if l.ending {
		at = l.settle.retryAt
	}
	if !due || l.outcome == LeaseLost || now.Before(at) {
		return
	}
	items := l.settle.take()
	s := settlement(items)
	l.settle.running = true
	l.settle.first = now
	l.stats.now.Settles++
	l.call(func() func() {
		ctx, cancel := context.WithTimeout(l.io, min(l.fetchTimeout(), l.cfg.ShutdownGrace))
		defer cancel()
		got, err := l.store.Settle(ctx, l.cfg.RelayID, s)
		return func() { l.settled(items, got, err) }
	})
}

// settled takes in got, the answer to a settlement of the items. After an error err the items are settled again.
// Settled items leave the window, at once or when the fetch under way has ended. A lane of which an event was buried
// goes on, unless the event blocks it. A lost lease (got.Fenced) ends the run.
func (l *loop) settled(items []*item, got Settled, err error) {
	now := time.Now()
	l.settle.running = false
	if err != nil {
		l.settleFailed(items, err, now)
		return
	}
	l.settle.failures = 0
	if got.Fenced {
		l.stats.now.Fenced += int64(len(items))
		l.log.Warn("settling was refused: another relay took the lease over", slog.Int("events", len(items)))
		l.end(LeaseLost, now)
		l.outcome = LeaseLost
		return
	}
	l.stats.now.Settled += int64(got.Accepted)
	l.recur(items, got.Mismatched, now)
	letters := 0
	for _, it := range items {
		if it.answer.Class != outbox.Accepted {
			letters++
		}
	}
	for _, it := range items {
		it.unwritten = it.blocks && got.DeadLetters < letters
		l.window.settled(it)
		if it.answer.Class != outbox.Accepted {
			l.stats.buried(it.lane.dest, it.blocks)
			if !it.blocks {
				l.next(it.lane)
			}
		}
		if l.fetcher.running {
			l.fetcher.settled = append(l.fetcher.settled, it)
			continue
		}
		l.forgetSettled(it)
	}
}

// settleFailed puts the items before all that wait, to be settled again after a back-off from RetryMin up to
// fetchRetryMax. It logs the error err of the first failure in a row.
func (l *loop) settleFailed(items []*item, err error, now time.Time) {
	l.stats.now.SettleErrors++
	l.settle.failures++
	if l.settle.failures == 1 {
		l.log.Warn("could not mark events: trying again", slog.Any("error", err), slog.Int("events", len(items)))
	}
	l.settle.items = append(items, l.settle.items...)
	l.settle.retryAt = now.Add(backoff(l.settle.failures, l.cfg.RetryMin, fetchRetryMax, l.cfg.spread()))
}

// forgetSettled removes from the window an event whose settlement is written. If the event blocked its lane, the
// lane is forgotten too: it is blocked in the table now, and reads leave its rows out. Where it is not sure that the
// lane is, what the lane has deferred stays: a backfill brings the rows, or finds none.
func (l *loop) forgetSettled(it *item) {
	l.window.remove(it)
	if it.blocks {
		l.lease.blockedAt = time.Now()
		it.lane.become(resting)
		if !it.unwritten {
			l.cursor.completeLane(it.lane)
		}
		l.window.forget(it.lane)
	}
}
