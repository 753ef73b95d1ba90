package relay

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

const (
	// hungryEvery is the time between renewals of a relay that waits for
	// shards, so that a hand-over takes little longer than the other's last
	// calls.
	hungryEvery = 25 * time.Millisecond
	// renewRetry is the pause after a renewal that failed.
	renewRetry = 100 * time.Millisecond
)

// lease is what the relay holds, and until when it may send.
type lease struct {
	held map[int]int64 // epoch by shard
	// draining has, by shard, the position when it began to drain. From then on
	// late rows of the shard are seen and passed over, so it keeps its gaps.
	draining map[int]Position
	target   int
	// valid is read by senders as well.
	valid atomic.Pointer[time.Time]

	renewing bool
	renewAt  time.Time
	// gained is when a shard was last gained, or the run began: a relay that
	// gained nothing for a lease's length has nothing to wait for.
	gained time.Time
	// resumed are lanes whose hold can be deleted at the next renewal.
	resumed map[outbox.Lane]ReleasedLane
	// heldAt is when a hold was last known to be in the table.
	heldAt time.Time
	// offset is the database's clock minus ours.
	offset time.Duration
}

func newLease(now time.Time) lease {
	return lease{held: map[int]int64{}, draining: map[int]Position{}, resumed: map[outbox.Lane]ReleasedLane{}, renewAt: now, gained: now}
}

// allows says whether a call that may take as long as need may start. The
// lease must outlast it by the monotonic clock and by the wall clock: which of
// the two stands still while a Lambda environment is frozen is not documented.
func (l *lease) allows(now time.Time, need time.Duration) bool {
	valid := l.valid.Load()
	if valid == nil {
		return false
	}
	end := now.Add(need)
	return end.Before(*valid) && end.Round(0).Before(valid.Round(0))
}

// working returns the shards to read: held and not draining, in order.
func (l *lease) working() []int {
	out := make([]int, 0, len(l.held))
	for s := range l.held {
		if _, out2 := l.draining[s]; !out2 {
			out = append(out, s)
		}
	}
	slices.Sort(out)
	return out
}

func (l *lease) works(shard int) bool {
	if _, held := l.held[shard]; !held {
		return false
	}
	_, draining := l.draining[shard]
	return !draining
}

// releasable returns the shards that have drained.
func (l *loop) releasable() []int {
	var out []int
	for s := range l.lease.draining {
		if l.window.busy[s] == 0 {
			out = append(out, s)
		}
	}
	return out
}

// maybeRenew renews when it is time, or at once when there is something to give
// back. At the very end Leave gives the rest back.
func (l *loop) maybeRenew(now time.Time) {
	if l.lease.renewing || l.outcome == LeaseLost {
		return
	}
	release := l.releasable()
	if l.ending && len(release) == len(l.lease.held) && len(release) > 0 && l.outstanding == 0 {
		return
	}
	if len(release) == 0 && now.Before(l.lease.renewAt) {
		return
	}
	if len(release) > 0 && now.Before(l.lease.renewAt) && l.lease.renewAt.Sub(now) <= renewRetry && l.stats.renewFailing {
		return
	}
	r := Renewal{
		RelayID:  l.cfg.RelayID,
		TTL:      l.cfg.LeaseTTL,
		Relays:   l.cfg.Relays,
		Release:  release,
		Leaving:  l.ending,
		Position: l.position(),
	}
	for _, rel := range l.lease.resumed {
		r.Resumed = append(r.Resumed, rel)
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

func (l *loop) renewed(r Renewal, got Lease, err error, sent time.Time, took time.Duration) {
	now := time.Now()
	l.lease.renewing = false
	if err != nil {
		l.renewFailed(err, now)
		return
	}
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
	for _, s := range r.Release {
		delete(l.lease.held, s)
		delete(l.lease.draining, s)
		l.stats.now.HandOvers++
	}
	l.goOn(r.Resumed, got.Released)
	l.take(got.Shards, now)
	// An answer from before the newest hold may tell of the end of an older one.
	if !sent.Before(l.lease.heldAt) {
		for _, rel := range got.Released {
			l.resumeLane(rel)
		}
	}
	l.rebalance(now)
	l.lease.renewAt = now.Add(l.cfg.RenewEvery)
	if !l.ending && len(l.lease.held) < got.Target && now.Sub(l.lease.gained) < 2*l.cfg.LeaseTTL {
		l.lease.renewAt = now.Add(hungryEvery)
	}
}

func (l *loop) renewFailed(err error, now time.Time) {
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

// take takes shards in that are new, or were given back and came again.
func (l *loop) take(shards []ShardLease, now time.Time) {
	var fresh []ShardLease
	for _, s := range shards {
		if epoch, held := l.lease.held[s.Shard]; held && epoch == s.Epoch {
			continue
		}
		l.lease.held[s.Shard] = s.Epoch
		fresh = append(fresh, s)
		if l.ending {
			l.lease.draining[s.Shard] = s.Resume
		}
	}
	if len(fresh) == 0 {
		return
	}
	l.lease.gained = now
	l.reader.resume(fresh, now)
}

// rebalance gives up what is above the fair share. The shards with the least in
// flight go first.
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

// drain stops shards: what was not sent is forgotten, as another relay will
// read it again, and what is in flight is awaited.
func (l *loop) drain(shards ...int) {
	at := l.position()
	drained := map[int]bool{}
	for _, s := range shards {
		if _, already := l.lease.draining[s]; already {
			continue
		}
		l.lease.draining[s] = at
		drained[s] = true
		l.reader.abandon(s)
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

// empty forgets what a lane has not sent.
func (l *loop) empty(lane *lane) {
	l.window.drop(lane)
	l.window.complete(lane)
	lane.resume, lane.search = false, false
	delete(l.lease.resumed, lane.key)
	l.waiting.end(lane)
	if lane.state == ready || lane.state == waiting {
		lane.state = resting
	}
	l.window.forget(lane)
}

// resumeLane takes up a lane whose hold an operator ended. Rows with lower ids
// than the one that blocked it may have committed while it was on hold, so its
// first backfill looks for the lowest of all. The hold stays until that came
// back: only then does the position allow for the lane.
func (l *loop) resumeLane(r ReleasedLane) {
	d := l.dests[r.Lane.Destination]
	if d == nil || !l.lease.works(r.Shard) {
		return
	}
	lane := l.window.lane(r.Lane, r.Shard, d)
	if lane.state == blocked || lane.resume && lane.release.ReleasedAt.Equal(r.ReleasedAt) {
		return
	}
	// Released anew: a search that is under way may have missed what was put
	// back in front of the lane.
	l.reader.stale = l.reader.stale || lane.resume && l.reader.fetching
	delete(l.lease.resumed, lane.key)
	lane.resume, lane.search, lane.release = true, true, r
	lane.bound = l.reader.readTo(r.Shard)
	l.window.leave(lane, 1)
	l.log.Info("lane resumed", slog.String("destination", r.Lane.Destination),
		slog.String("aggregate_type", r.Lane.AggregateType), slog.String("aggregate_id", r.Lane.AggregateID))
}

// goOn lets resumed lanes go on whose hold was deleted. A hold that is told
// again is still there: somebody had it locked, or released it anew.
func (l *loop) goOn(resumed, told []ReleasedLane) {
	for _, r := range resumed {
		lane := l.window.lanes[r.Lane]
		if lane == nil || !lane.resume {
			delete(l.lease.resumed, r.Lane)
			continue
		}
		still := slices.IndexFunc(told, func(t ReleasedLane) bool { return t.Lane == r.Lane })
		if still >= 0 {
			l.resumeLane(told[still])
			continue
		}
		delete(l.lease.resumed, r.Lane)
		lane.resume = false
	}
}
