package relay

import (
	"log/slog"
	"time"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

// failedInARow is how many calls with events that had not failed before must fail in a row, without a message
// accepted or rejected by the destination in between, before the destination pauses. A refusal of the destination
// itself (the class Unavailable for every message) pauses it at once.
const failedInARow = 3

// tally counts results of events that had not failed before: how many were accepted, and how many failed, which is
// any class but Accepted, Rejected and Throttled. Events that fail again and again are not counted, so that a few of
// them look nothing like an outage.
type tally struct{ accepted, failed int }

// add counts one result of the class c.
func (t *tally) add(c outbox.Class) {
	switch c {
	case outbox.Accepted:
		t.accepted++
	case outbox.Unknown, outbox.Transient, outbox.Unavailable:
		t.failed++
	case outbox.Rejected, outbox.Throttled:
	}
}

// blames says whether a failure of the item is its own: since its last result (for its first one, in the same call)
// the destination has accepted more of the other events that had not failed before than it has failed. In an outage,
// whether calls or single entries fail, and while only the item is sent, that is not so.
func (d *destination) blames(it *item) bool {
	accepted, failed := d.firsts.accepted-it.since.accepted, d.firsts.failed-it.since.failed
	if !it.failed {
		failed-- // the item itself
	}
	return accepted > failed
}

// judge adapts the destination to the results of a call, which came at the time now. When the outcome of every
// message is unknown, each goes alone from then on. A message accepted or rejected ends the back-off. Without one, and
// unless a message was throttled, the call failed: the destination pauses when it is probing, when all messages of a
// batch from ready are Unavailable, or after failedInARow failed calls with batches from ready. A throttled message or,
// in a batch from ready, an unknown outcome lowers the number of calls allowed in flight; a batch from ready that is
// accepted as a whole may raise or lower it.
func (l *loop) judge(b *batch, results []outbox.Result, now time.Time) {
	d, n := b.dest, len(b.items)
	var classes [outbox.Unavailable + 1]int
	var first outbox.Result // of those not Accepted, the first with an error or else the last
	before := d.firsts
	for i, it := range b.items {
		r := resultAt(results, i)
		if classes[r.Class]++; r.Class != outbox.Accepted && first.Err == nil {
			first = r
		}
		if !it.failed {
			it.since = before
			d.firsts.add(r.Class)
		}
	}
	if classes[outbox.Accepted] > 0 {
		d.conc.ended(b.began, now)
	}
	if classes[outbox.Unknown] == n {
		for _, it := range b.items {
			it.alone = true
		}
	}
	switch {
	case classes[outbox.Accepted]+classes[outbox.Rejected] > 0:
		if d.failures > 0 {
			l.log.Info("destination works again", slog.String("destination", d.name), slog.Int("failures", d.failures))
		}
		d.recover()
	case classes[outbox.Throttled] > 0:
	case d.probing:
		// A call that began before the last failure says nothing new.
		if b.began.After(d.failedAt) {
			l.pause(b, first, now)
		}
	case !b.suspects:
		if d.failedCalls++; d.failedCalls >= failedInARow || classes[outbox.Unavailable] == n {
			l.pause(b, first, now)
		}
	}
	switch {
	case classes[outbox.Throttled] > 0:
		d.conc.halve(now, 1)
	case classes[outbox.Unknown] > 0 && !b.suspects:
		d.conc.halve(now, d.conc.least)
	}
	if classes[outbox.Accepted] == n && !b.suspects {
		d.conc.done(float64(n)/float64(d.limits.Entries), d.wants())
	}
}

// pause has the whole destination back off from now on, or only its suspects when the batch b was of those, for
// RetryMin up to RetryMax, and logs the first failure in a row. why is a result of b.
func (l *loop) pause(b *batch, why outbox.Result, now time.Time) {
	d, text := b.dest, why.Code
	if why.Err != nil {
		text = why.Err.Error()
	}
	d.failures++
	until := now.Add(backoff(d.failures, l.cfg.RetryMin, l.cfg.RetryMax, l.cfg.spread()))
	d.fail(b, now, until, text)
	if d.failures == 1 {
		l.log.Error("destination is unavailable: its events wait, and none is charged with an attempt",
			slog.String("destination", d.name), slog.String("code", why.Code), slog.Any("error", why.Err))
	}
}

// fail pauses the destination until the given time, or only its suspects when the batch that failed was of those:
// other events are then free to show that the destination works. It sets probing until recover is called. why becomes
// lastError.
func (d *destination) fail(b *batch, now, until time.Time, why string) {
	d.failedAt, d.probing, d.lastError = now, true, why
	d.suspectsUntil = until
	if !b.suspects {
		d.pausedUntil = until
	}
}

// recover ends the pauses, the probing and both counts of failures, and empties lastError.
func (d *destination) recover() {
	d.failures, d.failedCalls, d.probing, d.lastError = 0, 0, false, ""
	d.pausedUntil, d.suspectsUntil = time.Time{}, time.Time{}
}
