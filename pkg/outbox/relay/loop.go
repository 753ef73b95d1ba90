package relay

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

// loop is a running relay: it decides when to read, send, settle, renew and report. One goroutine owns all of
// its fields. Calls to the store and to sinks run in goroutines of their own, each of which posts a function that
// takes in the answer. So there are no locks, and no decision is made on state that changes during the decision.
type loop struct {
	store Store
	cfg   Config
	log   *slog.Logger
	// io is the parent of the contexts of all calls to the store and to sinks. It outlives the cancellation of
	// the run, so that events that were sent are also settled; each call has a timeout.
	io context.Context //nolint:containedctx // lives exactly as long as the loop
	// until is when the run is to end at the latest, before the settling and giving back that follow.
	until time.Time

	// posted carries the functions that take in the answers of calls, to be run by the loop's goroutine.
	posted chan func()
	// idle carries a new call to a goroutine whose last call is over. It has no buffer. Closing it, at the end
	// of the run, ends these goroutines.
	idle chan func() func()
	// outstanding counts the calls that were started and whose answers the loop has not taken in yet.
	outstanding int

	window     window
	cursor     cursor
	backingOff backingOffLanes
	dests      map[string]*destination
	// names are the keys of dests, sorted: the order in which step goes through the destinations.
	names []string
	// warned is the set of the names of unknown destinations that were logged, at most maxWarned.
	warned map[string]bool

	lease   lease
	fetcher fetcher
	settle  settling
	stats   stats
	// messages tells an event that a broker took for a duplicate of another one.
	messages messages
	trial    trial

	// ending is set by the method end, when the run begins to end. outcome says why, and is empty before. endBy
	// is when settling is given up.
	ending  bool
	outcome Outcome
	endBy   time.Time
}

// newLoop returns a loop that owns no shard, for a run that is to end at the time until. Nothing is started yet:
// run does that. The first renewal and the first fetch are due now.
func newLoop(ctx context.Context, store Store, cfg Config, until time.Time) *loop {
	now := time.Now()
	l := &loop{
		store:    store,
		cfg:      cfg,
		log:      cfg.Logger.With(slog.String("relay_id", cfg.RelayID.String())),
		io:       context.WithoutCancel(ctx),
		until:    until,
		posted:   make(chan func(), 2*cfg.Concurrency),
		idle:     make(chan func() func()),
		window:   window{items: map[identity]*item{}, lanes: map[outbox.Lane]*lane{}, watch: cfg.watchLanes},
		cursor:   newCursor(newSweep(now, cfg)),
		warned:   map[string]bool{},
		lease:    lease{owned: map[int]int64{}, draining: map[int]struct{}{}, renewAt: now, gained: now},
		fetcher:  fetcher{next: now, active: now, pause: cfg.PollBusy, rowBytes: firstRowBytes},
		settle:   settling{every: cfg.SettleEvery, limit: cfg.SettleLimit},
		messages: newMessages(),
		stats:    stats{every: 1, reportAt: now.Add(cfg.ReportEvery)},
	}
	l.openDestinations()
	return l
}

// run is the loop: it does what is due, and waits until an answer was posted, the next thing is due, or ctx
// ends. It returns when the run has ended, every call has ended and the shards were given back.
func (l *loop) run(ctx context.Context) {
	done := ctx.Done()
	defer close(l.idle)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		now := time.Now()
		l.step(now) //nolint:contextcheck // calls outlive the cancellation of the run: see loop.io
		if l.finished(now) {
			break
		}
		timer.Reset(max(0, time.Until(l.nextWake(now))))
		select {
		case f := <-l.posted:
			l.apply(f)
			l.applyPosted()
		case <-timer.C:
		case <-done:
			done = nil
			l.end(Canceled, time.Now())
		}
	}
	l.leave() //nolint:contextcheck // as above
}

// call runs f in another goroutine and then, in the loop, the function that f returned. It does not wait for
// either; outstanding counts the call until then.
//
// The goroutines stay until the end of the run: a new one would have to grow its stack for every call, which
// took a tenth of the relay's processor time.
func (l *loop) call(f func() func()) {
	l.outstanding++
	select {
	case l.idle <- f:
	default:
		go l.serve(f)
	}
}

// serve runs f and then each function that comes over l.idle, and posts what they return. It keeps none of them after
// it has run: a call to a sink refers to its messages.
func (l *loop) serve(f func() func()) {
	l.posted <- f()
	for f := range l.idle {
		l.posted <- f()
	}
}

// apply runs f, which a call posted, in the loop, and counts the call as no longer outstanding.
func (l *loop) apply(f func()) {
	l.outstanding--
	f()
}

// applyPosted runs the functions that have been posted by now, at most as many as the channel posted holds.
func (l *loop) applyPosted() {
	for range cap(l.posted) {
		select {
		case f := <-l.posted:
			l.apply(f)
		default:
			return
		}
	}
}

// step does everything that is due at the time now: it ends the run if need be, and starts calls to sinks and
// the store. It waits for nothing.
func (l *loop) step(now time.Time) {
	if !l.ending && !now.Before(l.until) {
		l.end(Deadline, now)
	}
	if !l.ending && l.idleFor(now) {
		l.end(Idle, now)
	}
	if !l.ending && l.trial.hopeless(now) {
		l.end(Failed, now)
	}
	for lane := l.backingOff.due(now); lane != nil; lane = l.backingOff.due(now) {
		l.next(lane)
	}
	for _, name := range l.names {
		l.dispatch(l.dests[name], now)
	}
	l.maybeSettle(now)
	l.maybeRenew(now)
	l.maybeFetch(now)
	l.maybeReport(now)
}

// nextWake returns the time at which step is to be called again at the latest, as something is due then: at most a second
// from now, and now or earlier when it is due already.
func (l *loop) nextWake(now time.Time) time.Time {
	wake := now.Add(time.Second)
	sooner := func(t time.Time) {
		if t.Before(wake) {
			wake = t
		}
	}
	if l.ending {
		if now.Before(l.endBy) {
			sooner(l.endBy)
		}
	} else {
		sooner(l.until)
		if !l.stats.reporting {
			sooner(l.stats.reportAt)
		}
	}
	if len(l.backingOff.Heap) > 0 {
		sooner(l.backingOff.Heap[0].retryAt)
	}
	for _, name := range l.names {
		l.dests[name].wake(now, sooner)
	}
	if t, ok := l.settle.due(); ok && l.outcome != LeaseLost {
		sooner(t)
	}
	if !l.lease.renewing && l.outcome != LeaseLost {
		sooner(l.lease.renewAt)
	}
	if l.mayFetch() {
		sooner(l.fetcher.next)
	}
	return wake
}

// end begins the end of the run, for the reason why: no event is read or sent any more, those in flight are
// awaited and settled until endBy, and each shard is given back when none of its events is in flight or
// unsettled. A fetch under way is canceled. Further calls do nothing.
func (l *loop) end(why Outcome, now time.Time) {
	if l.ending {
		return
	}
	l.ending, l.outcome = true, why
	l.endBy = now.Add(l.cfg.ShutdownGrace)
	l.drain(slices.Collect(maps.Keys(l.lease.owned))...)
	if l.fetcher.running {
		l.fetcher.cancel()
	}
	l.log.Info("relay ends", slog.String("outcome", string(why)))
}

// finished says whether the loop may stop: the run is ending, every call has ended, and either all that was
// sent is settled, or the lease is lost, or endBy has come.
func (l *loop) finished(now time.Time) bool {
	if !l.ending || l.outstanding > 0 {
		return false
	}
	return l.settle.empty() || l.outcome == LeaseLost || !now.Before(l.endBy)
}

// idleFor says whether the run is to end as idle: Config.IdleExit is set, a fetch planned that long after rows
// last came found none, no event is buffered, no lane and no destination has deferred rows, no lane is being released, and no
// gap and no catch-up is open. A relay without a shard reads nothing, and is idle when it has run for IdleExit.
func (l *loop) idleFor(now time.Time) bool {
	looked := l.fetcher.emptyAt
	if len(l.lease.owned) == 0 {
		looked = now
	}
	return l.cfg.IdleExit > 0 && len(l.window.items) == 0 && len(l.window.lanes) == 0 &&
		l.cursor.complete() && looked.Sub(l.fetcher.active) >= l.cfg.IdleExit
}

// leave gives every shard back, counts the backlog and makes the last report, and waits for both calls: up to
// Config.ShutdownGrace together. Errors are logged. After a lost lease it only reports.
func (l *loop) leave() {
	if l.outcome == LeaseLost {
		l.stats.now.Fenced += int64(len(l.settle.items))
		l.stats.report(l, Backlog{}, true)
		return
	}
	ctx, cancel := context.WithTimeout(l.io, l.cfg.ShutdownGrace)
	defer cancel()
	handed := int64(len(l.lease.owned))
	if err := l.store.Leave(ctx, l.cfg.RelayID, l.lease.era, l.position()); err != nil {
		l.log.Warn("could not leave: the lease has to lapse", slog.Any("error", err))
		l.stats.now.RenewErrors++
	} else {
		l.stats.now.HandOvers += handed
	}
	backlog, err := l.store.Backlog(ctx, l.position().Lows, backlogLimit)
	if err != nil {
		l.log.Warn("could not count the backlog", slog.Any("error", err))
	}
	l.stats.report(l, backlog, true)
}

// position returns where another relay would have to resume the shards of this one.
func (l *loop) position() Position { return l.cursor.position(l.window.lowest()) }
