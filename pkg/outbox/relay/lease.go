package relay

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"
)

const (
	// hungryEvery is the time between the renewals of a relay that owns fewer shards than its target: it gets a
	// shard within about that time of another relay's giving it back.
	hungryEvery = 25 * time.Millisecond
	// renewRetry is the pause after a renewal that failed.
	renewRetry = 100 * time.Millisecond
)

// lease is the shards that the relay owns, and until when it may send.
type lease struct {
	// owned has the epoch of each shard owned, by the number of the shard.
	owned map[int]int64
	// draining are the shards owned that are to be given back: no event of them is read or sent any more, and
	// each is given back with a renewal once no event of it is in flight or unsettled.
	draining map[int]struct{}
	// target is how many shards the relay is to own, as the last answer to a renewal said.
	target int
	// era is the era of the row ids that the last answer told, 0 before the first. What was read in another era is
	// forgotten: see loop.startOver.
	era int64
	// recurred is set when ids were found to have come again in this era. The next renewal says so.
	recurred bool
	// valid is when the lease lapses by the relay's own clock, nil before the first renewal. It is atomic
	// because the goroutines that send read it too.
	valid atomic.Pointer[time.Time]

	// renewing says that a renewal is under way, renewAt when the next is due.
	renewing bool
	renewAt  time.Time
	// gained is when a shard was last gained, or the run began. A relay below its target renews every hungryEvery for
	// twice LeaseTTL after that, unless its run ends, and else every Config.RenewEvery.
	gained time.Time
	// blockedAt is when the loop last learned that a dead letter that blocks its lane is written. Releases in
	// the answer to a renewal that was sent before that time are ignored.
	blockedAt time.Time
	// offset is the database's clock minus the relay's, as of the last renewal, for latencies.
	offset time.Duration
}

// allows says whether a call that may take as long as need may start at the time now: the lease must outlast the
// call by the monotonic clock and by the wall clock, as it is not documented which of the two stands still while a
// Lambda environment is frozen. allows may be called from any goroutine.
func (l *lease) allows(now time.Time, need time.Duration) bool {
	valid := l.valid.Load()
	if valid == nil {
		return false
	}
	end := now.Add(need)
	return end.Before(*valid) && end.Round(0).Before(valid.Round(0))
}

// working returns the shards to read and send, in ascending order: owned and not draining.
func (l *lease) working() []int {
	out := make([]int, 0, len(l.owned))
	for s := range l.owned {
		if l.works(s) {
			out = append(out, s)
		}
	}
	slices.Sort(out)
	return out
}

// works says whether the shard is one to read and send: owned and not draining.
func (l *lease) works(shard int) bool {
	_, owned := l.owned[shard]
	_, draining := l.draining[shard]
	return owned && !draining
}

// drained returns the draining shards of which no event is in flight or unsettled, in any order: they can be
// given back.
func (l *loop) drained() []int {
	var out []int
	for s := range l.lease.draining {
		if l.window.busy[s] == 0 {
			out = append(out, s)
		}
	}
	return out
}

// maybeRenew starts a renewal when one is due, and at once when a shard has drained, unless the last renewal failed
// within renewRetry. A renewal may take SendTimeout, and only one is under way at a time. When the run ends and all
// shards have drained it starts none: Leave gives those back. After a lost lease it starts none either.
func (l *loop) maybeRenew(now time.Time) {
	if l.lease.renewing || l.outcome == LeaseLost {
		return
	}
	drained := l.drained()
	if l.ending && len(drained) == len(l.lease.owned) && len(drained) > 0 && l.outstanding == 0 {
		return
	}
	if now.Before(l.lease.renewAt) && (len(drained) == 0 || l.stats.renewFailing) {
		return
	}
	r := Renewal{
		RelayID:  l.cfg.RelayID,
		Era:      l.lease.era,
		Recurred: l.lease.recurred,
		TTL:      l.cfg.LeaseTTL,
		Relays:   l.cfg.Relays,
		GiveBack: drained,
		Leaving:  l.ending,
		Position: l.position(),
		Unblock:  l.cursor.toUnblock(),
	}
	l.lease.renewing = true
	l.call(func() func() {
		ctx, cancel := context.WithTimeout(l.io, l.cfg.SendTimeout)
		defer cancel()
		sent := time.Now()
		got, err := l.store.Renew(ctx, r)
		took := time.Since(sent)
		return func() { l.renewed(r, got, err, sent, took) }
	})
}

// renewed takes in got, the answer to the renewal r, or the error err. r was sent at the time sent, and the answer
// came after the time took. renewed extends the lease, forgets the shards given back, takes in the new shards and
// releases, begins to drain surplus shards, and sets when the next renewal is due.
func (l *loop) renewed(r Renewal, got Lease, err error, sent time.Time, took time.Duration) {
	now := time.Now()
	l.lease.renewing = false
	if err != nil {
		l.renewFailed(err, now)
		return
	}
	l.trial.renewing.note(nil, now)
	if l.stats.renewFailing {
		l.stats.renewFailing = false
		l.log.Info("lease renewed again")
	}
	// The database counts the lease from a moment after the request was sent,
	// so counting from that errs on the safe side.
	valid := sent.Add(l.cfg.LeaseTTL)
	l.lease.valid.Store(&valid)
	l.lease.offset = got.Now.Sub(sent.Add(took / 2))
	l.lease.target = got.Target
	for _, s := range r.GiveBack {
		delete(l.lease.owned, s)
		delete(l.lease.draining, s)
		l.cursor.unpin(s)
		l.stats.now.HandOvers++
	}
	l.enter(got)
	l.unblocked(r.Unblock, got.Released)
	l.take(got.Shards, now)
	// An answer from before a lane was blocked may name an older release of it.
	if !sent.Before(l.lease.blockedAt) {
		for _, rel := range got.Released {
			l.releaseLane(rel)
		}
	}
	l.rebalance(now)
	l.lease.renewAt = now.Add(l.cfg.RenewEvery)
	if !l.ending && len(l.lease.owned) < got.Target && now.Sub(l.lease.gained) < 2*l.cfg.LeaseTTL {
		l.lease.renewAt = now.Add(hungryEvery)
	}
}

// renewFailed ends the run when err says that the lease is lost. Any other error is counted, logged if it is
// the first in a row, and the renewal is due again after renewRetry.
func (l *loop) renewFailed(err error, now time.Time) {
	l.trial.renewing.note(err, now)
	if errors.Is(err, ErrLeaseLost) {
		l.log.Warn("another relay took the lease over: nothing more is sent")
		l.end(LeaseLost, now)
		l.outcome = LeaseLost
		return
	}
	l.stats.now.RenewErrors++
	if !l.stats.renewFailing {
		l.stats.renewFailing = true
		l.log.Warn("could not renew the lease: sending stops when it lapses", slog.Any("error", err))
	}
	l.lease.renewAt = now.Add(renewRetry)
}

// take takes in the shards that the answer to a renewal names as owned. A shard that is new, or has a new epoch
// because it was given back and taken again, is gained: its rows are to be read, so a fetch is due now, and the
// answer to a fetch under way is thrown away. At the end of the run a gained shard drains at once.
func (l *loop) take(shards []ShardLease, now time.Time) {
	var gained []ShardLease
	for _, s := range shards {
		if epoch, owned := l.lease.owned[s.Shard]; owned && epoch == s.Epoch {
			continue
		}
		l.lease.owned[s.Shard] = s.Epoch
		gained = append(gained, s)
		if l.ending {
			l.drainShard(s.Shard, s.Resume)
		}
	}
	if len(gained) == 0 {
		return
	}
	l.lease.gained = now
	l.cursor.gain(gained)
	l.fetcher.stale = l.fetcher.running
	l.fetcher.next = now
}

// rebalance begins to drain as many shards as are owned above the target, those with the fewest events in
// flight or unsettled first. When the target is 0 it ends the run, with the outcome Superseded.
func (l *loop) rebalance(now time.Time) {
	if l.ending {
		return
	}
	if l.lease.target == 0 {
		l.end(Superseded, now)
		return
	}
	working := l.lease.working()
	var surplus []int
	for len(working) > l.lease.target {
		least := 0
		for i, s := range working {
			if l.window.busy[s] < l.window.busy[working[least]] {
				least = i
			}
		}
		surplus = append(surplus, working[least])
		working[least] = working[len(working)-1]
		working = working[:len(working)-1]
	}
	l.drain(surplus...)
}

// drain has shards begin to drain, at the present position: their events that were not sent are forgotten, as their
// next owner reads them again, and those in flight are awaited. It does nothing for shards that drain already.
func (l *loop) drain(shards ...int) {
	at := l.position()
	drained := map[int]bool{}
	for _, s := range shards {
		if _, already := l.lease.draining[s]; already {
			continue
		}
		l.drainShard(s, at)
		drained[s] = true
	}
	if len(drained) == 0 {
		return
	}
	for _, lane := range l.window.lanes {
		if drained[lane.shard] {
			l.empty(lane)
		}
	}
}

// drainShard makes a shard a draining one. Its next owner will resume at the position at, or below it.
func (l *loop) drainShard(shard int, at Position) {
	l.lease.draining[shard] = struct{}{}
	l.cursor.pin(shard, at)
}

// empty forgets the queued events, the deferred rows, the release and the back-off of a lane whose shard drains or
// which is to be blocked. An event in flight stays. The lane itself is forgotten as window.forget says.
func (l *loop) empty(lane *lane) {
	l.window.drop(lane)
	l.cursor.dropLane(lane)
	l.backingOff.remove(lane)
	if lane.state == ready || lane.state == backingOff {
		lane.become(resting)
	}
	l.window.forget(lane)
}
