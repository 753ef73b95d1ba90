package relay

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

// openDestinations fills l.dests and l.names from the configuration, and divides the window among the destinations.
func (l *loop) openDestinations() {
	l.dests = make(map[string]*destination, len(l.cfg.Destinations))
	events, bytes := shares(l.cfg.Window, len(l.cfg.Destinations)), shares(l.cfg.WindowBytes, len(l.cfg.Destinations))
	for name, d := range l.cfg.Destinations {
		l.names = append(l.names, name)
		l.dests[name] = &destination{
			name:     name,
			sink:     d.Sink,
			limits:   d.Sink.Limits(),
			onReject: d.OnReject,
			linger:   l.cfg.Linger,
			conc:     newConcurrency(l.cfg.Concurrency),
			events:   events(),
			bytes:    bytes(),
			deferred: l.cursor.destination(name),
		}
	}
	slices.Sort(l.names)
}

// dispatch starts as many calls to d as its slots allow, while lanes are ready, no batch lingers and the lease
// outlasts a call. It buries the events at the front of ready lanes that can never be sent.
func (l *loop) dispatch(d *destination, now time.Time) {
	for d.slots(now) > 0 && !d.lingers(now) && d.ready.peek() != nil {
		if !l.lease.allows(now, l.cfg.SendTimeout) {
			l.stats.withhold()
			return
		}
		batch, faulty := d.pack()
		for _, it := range faulty {
			l.bury(it, outbox.Result{Class: outbox.Rejected, Err: it.fault, Code: codeOf(it.fault)})
		}
		if len(batch) > 0 {
			l.send(d, batch)
		}
	}
}

// send starts a call of at most SendTimeout that publishes a batch, and marks its items as in flight. When the lease
// does not outlast a call any more once the goroutine runs, the sink is not called and the method withheld puts the
// batch back. The method published takes in the results.
func (l *loop) send(d *destination, batch []*item) {
	d.inFlight++
	l.stats.sent(len(batch))
	msgs := make([]outbox.Message, len(batch))
	for i, it := range batch {
		l.window.send(it)
		msgs[i] = it.msg
	}
	l.call(func() func() {
		// Looked at again: the process may have been frozen since dispatch did.
		if !l.lease.allows(time.Now(), l.cfg.SendTimeout) {
			return func() { l.withheld(d, batch) }
		}
		ctx, cancel := context.WithTimeout(l.io, l.cfg.SendTimeout)
		defer cancel()
		results := d.sink.Publish(ctx, msgs)
		at := time.Now()
		return func() { l.published(d, batch, results, at) }
	})
}

// withheld queues a batch again whose call was not made. Its lanes become ready again, or are emptied if their
// shards drain.
func (l *loop) withheld(d *destination, batch []*item) {
	d.inFlight--
	l.stats.withhold()
	for _, it := range batch {
		l.window.requeue(it)
		l.next(it.lane)
	}
}

// published takes in the results of one call of d for the batch, which came at the time at: first as a whole,
// for the state of the destination, and then event by event. results[i] is for batch[i]; a missing one counts
// as unknown.
func (l *loop) published(d *destination, batch []*item, results []outbox.Result, at time.Time) {
	d.inFlight--
	var classes [outbox.Unavailable + 1]int
	var first outbox.Result
	for i := range batch {
		r := resultAt(results, i)
		if classes[r.Class]++; r.Class != outbox.Accepted && first.Err == nil {
			first = r
		}
	}
	l.judge(d, classes, len(batch), first, at)
	for i, it := range batch {
		l.result(it, resultAt(results, i), at)
	}
}

// resultAt returns the result of message i. Where a sink gave no result for the message, or one whose class does
// not exist, it is a result of the class Unknown.
func resultAt(results []outbox.Result, i int) outbox.Result {
	if i >= len(results) {
		return outbox.Result{Err: errors.New("the sink gave no result")}
	}
	if c := results[i].Class; c < outbox.Unknown || c > outbox.Unavailable {
		return outbox.Result{Err: errors.New("the sink gave an invalid result")}
	}
	return results[i]
}

// judge adapts the destination to the results of a call of n messages. classes counts the results by class. first
// is, of those not Accepted, the first with an error or else the last; zero when all are Accepted. A message
// accepted or rejected ends the back-off. The destination pauses when all n are Unavailable, or when all n are
// Unknown in lostInARow calls in a row. A throttled message or an unknown outcome lowers the number of calls
// allowed in flight; a call with all messages accepted may raise or lower it.
func (l *loop) judge(d *destination, classes [outbox.Unavailable + 1]int, n int, first outbox.Result, now time.Time) {
	switch {
	case classes[outbox.Accepted]+classes[outbox.Rejected] > 0:
		if d.failures > 0 {
			l.log.Info("destination works again", slog.String("destination", d.name), slog.Int("failures", d.failures))
		}
		d.recover()
	case classes[outbox.Unavailable] == n:
		l.pause(d, first, now)
	case classes[outbox.Unknown] == n:
		if d.lost++; d.lost >= lostInARow {
			l.pause(d, first, now)
		}
	}
	if classes[outbox.Throttled] > 0 || classes[outbox.Unknown] > 0 {
		d.conc.throttled(now)
	}
	if classes[outbox.Accepted] == n {
		d.conc.done(float64(n)/float64(d.limits.Entries), d.wants())
	}
}

// pause has the whole destination back off from now on, for RetryMin up to RetryMax, and logs the first failure in
// a row. why is a result of the call that failed.
func (l *loop) pause(d *destination, why outbox.Result, now time.Time) {
	text := why.Code
	if why.Err != nil {
		text = why.Err.Error()
	}
	d.fail(now, l.cfg.RetryMin, l.cfg.RetryMax, l.cfg.spread(), text)
	if d.failures == 1 {
		l.log.Error("destination is unavailable: its events wait, and none is charged with an attempt",
			slog.String("destination", d.name), slog.String("code", why.Code), slog.Any("error", why.Err))
	}
}

// result takes in the result of one event, which came at the time at: an accepted event waits to be settled, a
// rejected one or one with MaxAttempts transient failures is buried, and any other goes again as the first of
// its lane. The lane backs off before that, except after an unknown or unavailable result while the destination
// is paused.
func (l *loop) result(it *item, r outbox.Result, at time.Time) {
	lane, d := it.lane, it.lane.dest
	l.stats.result(d, r.Class)
	if r.Class == outbox.Accepted {
		l.window.accept(it)
		lane.failures = 0
		l.settle.push(it, r, at)
		l.stats.accepted(at.Add(l.lease.offset).Sub(it.rec.CreatedAt))
		l.next(lane)
		return
	}
	l.window.requeue(it)
	if r.Class == outbox.Transient {
		it.attempts++
	}
	if r.Class == outbox.Rejected || l.cfg.MaxAttempts > 0 && it.attempts >= l.cfg.MaxAttempts {
		l.bury(it, r)
		return
	}
	if !at.Before(d.pausedUntil) || r.Class == outbox.Throttled || r.Class == outbox.Transient {
		lane.failures++
		l.retry(lane, at)
		return
	}
	// The destination is paused: that is wait enough.
	l.next(lane)
}

// retry has the lane back off from now on, by the number of its failures, for RetryMin up to RetryMax. After that
// its first event goes again before anything newer. A lane whose shard drains is emptied instead.
func (l *loop) retry(lane *lane, now time.Time) {
	if !l.lease.works(lane.shard) {
		lane.become(resting)
		l.empty(lane)
		return
	}
	l.backingOff.add(lane, now.Add(backoff(lane.failures, l.cfg.RetryMin, l.cfg.RetryMax, l.cfg.spread())))
}

// next decides how a lane goes on of which nothing is in flight: it is emptied if its shard drains, becomes ready
// if it has queued events, and is forgotten if nothing of it is deferred or being released.
func (l *loop) next(lane *lane) {
	lane.become(resting)
	switch {
	case !l.lease.works(lane.shard):
		l.empty(lane)
	case len(lane.queue) > 0:
		lane.dest.ready.push(lane)
	default:
		l.window.forget(lane)
	}
}

// bury gives up the event of the item, the first of its lane and not in flight, for the reason in r. The
// next settlement writes it as a dead letter, and until the loop knows that, no event of the lane is sent. Then the
// lane goes on, or is blocked in the table where the destination's OnReject is Block. Each call logs an error.
func (l *loop) bury(it *item, r outbox.Result) {
	lane := it.lane
	l.window.giveUp(it)
	lane.failures = 0
	it.blocks = lane.dest.onReject == Block
	l.settle.push(it, r, time.Now())
	l.log.Error("event is a dead letter: see outbox.dead_letters",
		slog.String("event_id", it.rec.EventID.String()), slog.Int64("id", it.rec.ID),
		slog.String("destination", lane.dest.name), slog.String("code", r.Code), slog.Any("error", r.Err), slog.Bool("blocks_lane", it.blocks))
	if !it.blocks {
		lane.become(burying)
		if !l.lease.works(lane.shard) {
			l.empty(lane)
		}
		return
	}
	first := lane.first()
	lane.become(blocked)
	l.empty(lane)
	if first != 0 {
		l.cursor.deferLane(lane, first)
	}
}

// codeOf returns the code of the dead letter for err: what the method Code of err, or of an error that err
// wraps, returns. It is "Invalid" where there is no such method.
func codeOf(err error) string {
	if c, ok := errors.AsType[interface {
		error
		Code() string
	}](err); ok {
		return c.Code()
	}
	return "Invalid"
}
