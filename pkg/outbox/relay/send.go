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
	n := len(l.cfg.Destinations)
	events, bytes, sending := shares(l.cfg.Window, n), shares(l.cfg.WindowBytes, n), shares(l.cfg.SendBytes, n)
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
			sending:  sending(),
			deferred: l.cursor.destination(name),
		}
	}
	slices.Sort(l.names)
}

// dispatch starts as many calls to d as its slots allow, while lanes are ready, no batch lingers and the lease
// outlasts a call. Suspects go first and do not linger: their slots are few.
func (l *loop) dispatch(d *destination, now time.Time) {
	for d.suspectSlots(now) > 0 && l.sendFrom(d, &d.suspects, now) {
	}
	for d.slots(now) > 0 && !d.lingers(now) && l.sendFrom(d, &d.ready, now) {
	}
}

// sendFrom packs a batch from q, one of the two queues of d, and starts its call. It buries the events at the front
// that can never be sent. It returns false, and does nothing, when no lane of q is ready or the lease does not
// outlast a call.
func (l *loop) sendFrom(d *destination, q *readyQueue, now time.Time) bool {
	if q.peek() == nil {
		return false
	}
	if !l.lease.allows(now, l.cfg.SendTimeout) {
		l.stats.withhold()
		return false
	}
	items, faulty := d.pack(q)
	for _, it := range faulty {
		l.bury(it, outbox.Result{Class: outbox.Rejected, Err: it.fault, Code: codeOf(it.fault)})
	}
	if len(items) > 0 {
		l.send(&batch{dest: d, items: items, suspects: q == &d.suspects, began: now})
	}
	return true
}

// send starts a call of at most SendTimeout that publishes a batch, and marks its items as in flight. When the lease
// does not outlast a call any more once the goroutine runs, the sink is not called and the method withheld puts the
// batch back. The method published takes in the results.
func (l *loop) send(b *batch) {
	b.dest.started(b)
	l.stats.sent(len(b.items))
	msgs := make([]outbox.Message, len(b.items))
	for i, it := range b.items {
		l.window.send(it)
		msgs[i] = it.msg
	}
	l.call(func() func() {
		// Looked at again: the process may have been frozen since dispatch did.
		if !l.lease.allows(time.Now(), l.cfg.SendTimeout) {
			return func() { l.withheld(b) }
		}
		ctx, cancel := context.WithTimeout(l.io, l.cfg.SendTimeout)
		defer cancel()
		results := b.dest.sink.Publish(ctx, msgs)
		at := time.Now()
		return func() { l.published(b, results, at) }
	})
}

// withheld queues a batch again whose call was not made. Its lanes become ready again, or are emptied if their
// shards drain.
func (l *loop) withheld(b *batch) {
	b.dest.ended(b)
	l.stats.withhold()
	for _, it := range b.items {
		l.window.requeue(it)
		l.next(it.lane)
	}
}

// published takes in the results of one call, which came at the time at: first as a whole, for the state of the
// destination, and then event by event. results[i] is for b.items[i]; a missing one counts as unknown.
func (l *loop) published(b *batch, results []outbox.Result, at time.Time) {
	b.dest.ended(b)
	l.judge(b, results, at)
	for i, it := range b.items {
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

// result takes in the result of one event, which came at the time at: an accepted event waits to be settled, a
// rejected one or one with MaxAttempts transient failures of its own is buried, and any other goes again as the first
// of its lane. The lane backs off before that, except after a first unknown outcome, which another event of the call
// may have caused, and after a failure while the destination is probing, whose pauses are wait enough.
func (l *loop) result(it *item, r outbox.Result, at time.Time) {
	lane, d := it.lane, it.lane.dest
	l.stats.result(d, r.Class)
	if r.Class == outbox.Accepted {
		l.notice(it, r)
		l.window.accept(it)
		lane.failures = 0
		l.settle.push(it, r, at)
		l.stats.accepted(at.Add(l.lease.offset).Sub(it.rec.CreatedAt))
		l.next(lane)
		return
	}
	l.window.requeue(it)
	if r.Class == outbox.Transient && d.blames(it) {
		it.attempts++
	}
	if r.Class == outbox.Rejected || l.cfg.MaxAttempts > 0 && it.attempts >= l.cfg.MaxAttempts {
		l.bury(it, r)
		return
	}
	first := !it.failed
	if r.Class != outbox.Throttled {
		it.failed, it.since = true, d.firsts
	}
	if d.probing && it.failed || first && r.Class == outbox.Unknown {
		l.next(lane)
		return
	}
	lane.failures++
	l.retry(lane, at)
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
		lane.dest.queue(lane).push(lane)
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
