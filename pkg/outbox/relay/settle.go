package relay

import (
	"context"
	"log/slog"
	"time"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

// maxSettle bounds the events in one settlement, so that one that was delayed
// by a fault does not become ever larger.
const maxSettle = 2_000

// settling is what is to be written about events: they are marked in bulk, off
// the path of publishing.
type settling struct {
	items    []*item
	outcomes []outcome
	first    time.Time
	running  bool
	failures int
	retryAt  time.Time
	every    time.Duration
	limit    int
}

// outcome is what is to be written about one event: that it was accepted, unless
// it is dead.
type outcome struct {
	accepted Accepted
	dead     *Dead
}

func (s *settling) empty() bool { return len(s.items) == 0 && !s.running }

func (s *settling) accept(it *item, r outbox.Result, at time.Time) {
	s.push(it, outcome{accepted: Accepted{ID: it.rec.ID, MessageID: r.MessageID, SequenceNumber: r.SequenceNumber}}, at)
}

func (s *settling) bury(it *item, r outbox.Result, block bool) {
	d := Dead{ID: it.rec.ID, Replays: it.rec.Replays, Attempts: max(1, it.attempts), Code: r.Code, Block: block}
	if r.Err != nil {
		d.Reason = r.Err.Error()
	}
	s.push(it, outcome{dead: &d}, time.Now())
}

func (s *settling) push(it *item, o outcome, at time.Time) {
	if len(s.items) == 0 {
		s.first = at
	}
	s.items = append(s.items, it)
	s.outcomes = append(s.outcomes, o)
}

// due returns when the next settlement is to start, if one is to.
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

// take removes up to maxSettle outcomes.
func (s *settling) take() ([]*item, []outcome) {
	n := min(len(s.items), maxSettle)
	items, outcomes := s.items[:n:n], s.outcomes[:n:n]
	s.items, s.outcomes = s.items[n:], s.outcomes[n:]
	return items, outcomes
}

// putBack returns what could not be settled to the front.
func (s *settling) putBack(items []*item, outcomes []outcome) {
	s.items = append(items, s.items...)
	s.outcomes = append(outcomes, s.outcomes...)
}

// maybeSettle starts a settlement when one is due. At the end of the run there
// is nothing to wait for.
func (l *loop) maybeSettle(now time.Time) {
	at, due := l.settle.due()
	if l.ending {
		at = l.settle.retryAt
	}
	if !due || l.outcome == LeaseLost || now.Before(at) {
		return
	}
	items, outcomes := l.settle.take()
	var s Settlement
	s.Accepted = make([]Accepted, 0, len(outcomes))
	for _, o := range outcomes {
		if o.dead != nil {
			s.Dead = append(s.Dead, *o.dead)
			continue
		}
		s.Accepted = append(s.Accepted, o.accepted)
	}
	l.settle.running = true
	l.settle.first = now
	l.stats.now.Settles++
	l.call(func() func() {
		ctx, cancel := context.WithTimeout(l.io, min(l.fetchTimeout(), l.cfg.ShutdownGrace))
		defer cancel()
		got, err := l.store.Settle(ctx, l.cfg.RelayID, s)
		return func() { l.settled(items, outcomes, got, err) }
	})
}

func (l *loop) settled(items []*item, outcomes []outcome, got Settled, err error) {
	now := time.Now()
	l.settle.running = false
	if err != nil {
		l.settleFailed(items, outcomes, err, now)
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
	for i, it := range items {
		l.window.busy[it.lane.shard]--
		if outcomes[i].dead != nil {
			l.stats.dead(it.lane.dest, it.blocks)
			if !it.blocks {
				l.next(it.lane)
			}
		}
		if l.reader.fetching {
			l.reader.settled = append(l.reader.settled, it)
			continue
		}
		l.forgetSettled(it)
	}
}

func (l *loop) settleFailed(items []*item, outcomes []outcome, err error, now time.Time) {
	l.stats.now.SettleErrors++
	l.settle.failures++
	if l.settle.failures == 1 {
		l.log.Warn("could not mark events: trying again", slog.Any("error", err), slog.Int("events", len(items)))
	}
	l.settle.putBack(items, outcomes)
	l.settle.retryAt = now.Add(backoff(l.settle.failures, l.cfg.RetryMin, fetchRetryMax, l.spread()))
}

// forgetSettled removes an event whose settling is known. With the event that
// blocked it goes the memory of a blocked lane: its hold is in the table now,
// where scans see it.
func (l *loop) forgetSettled(it *item) {
	l.window.remove(it)
	if it.blocks {
		l.lease.heldAt = time.Now()
		it.lane.state = resting
		l.window.complete(it.lane)
		l.window.forget(it.lane)
	}
}
