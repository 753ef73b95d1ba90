package relay

import (
	"context"
	"log/slog"
	"slices"
	"time"
)

const (
	// writersEvery is the time between looks at who is writing. Gaps are looked
	// at in every fetch; this only decides when they are given up.
	writersEvery = 100 * time.Millisecond
	// backfillExamine bounds the rows that one backfill looks at: about 5 ms.
	backfillExamine = 5_000
	// maxBackfills bounds the backfills in one fetch.
	maxBackfills = 16
	// firstRowBytes is taken for the size of a row before any was read.
	firstRowBytes = 256 << 10
	// fetchRetryMax bounds the pause after fetches that failed.
	fetchRetryMax = time.Second
)

// reader is where reading stands.
type reader struct {
	// head is the highest id read. Everything above it comes with the next
	// scan; what was not visible below it is in gaps.
	head    int64
	started bool
	gaps    gaps
	// catchUps read shards, gained while running, from where their last holder
	// left them.
	catchUps []*catchUp

	fetching bool
	// stale is set when a shard was gained after the fetch under way was
	// planned: it would pass over rows that are ours now.
	stale bool
	// cancel ends the fetch under way.
	cancel      context.CancelFunc
	nextFetch   time.Time
	nextWriters time.Time
	pause       time.Duration
	failures    int
	// active is when something was last read.
	active time.Time
	// rowBytes estimates the size of a row, to ask for no more than there is
	// room for.
	rowBytes int
	sweep    sweep
	// turn rotates the backfills when there are too many for one fetch.
	turn int
	// settled are items whose settling is known. They stay in the window until
	// no fetch is under way that may have read their rows as unsent.
	settled []*item

	pollBusy, pollIdle time.Duration
}

// catchUp reads the shards from after on, until it has seen all there is.
type catchUp struct {
	after  int64
	shards []int
}

func newReader(now time.Time, cfg Config) reader {
	return reader{nextFetch: now, active: now, pause: cfg.PollBusy, rowBytes: firstRowBytes, sweep: newSweep(now, cfg), pollBusy: cfg.PollBusy, pollIdle: cfg.PollIdle}
}

// resume takes in where gained shards are to be resumed.
func (r *reader) resume(shards []ShardLease, now time.Time) {
	r.stale = r.fetching
	if !r.started {
		r.started = true
		r.head = shards[0].Resume.Low
		for _, s := range shards {
			r.head = min(r.head, s.Resume.Low)
		}
	}
	known := &cohort{}
	for _, s := range shards {
		for _, g := range s.Resume.Gaps {
			// Above head the scan finds them by itself.
			r.gaps.add(g.From, min(g.To, r.head), known)
		}
		if s.Resume.Low >= r.head {
			continue
		}
		same := slices.IndexFunc(r.catchUps, func(c *catchUp) bool { return c.after == s.Resume.Low })
		if same < 0 {
			r.catchUps = append(r.catchUps, &catchUp{after: s.Resume.Low, shards: []int{s.Shard}})
			continue
		}
		r.catchUps[same].shards = append(r.catchUps[same].shards, s.Shard)
	}
	r.nextFetch = now
}

// abandon forgets the catching up of a shard that is given back.
func (r *reader) abandon(shard int) {
	for _, c := range r.catchUps {
		c.shards = slices.DeleteFunc(c.shards, func(s int) bool { return s == shard })
	}
	r.catchUps = slices.DeleteFunc(r.catchUps, func(c *catchUp) bool { return len(c.shards) == 0 })
}

// readTo returns the id up to which the shard was read: what was not visible
// there is in gaps.
func (r *reader) readTo(shard int) int64 {
	id := r.head
	for _, c := range r.catchUps {
		if slices.Contains(c.shards, shard) {
			id = min(id, c.after)
		}
	}
	return id
}

// catchingUp says whether rows of the shard at id come with a catch-up.
func (r *reader) catchingUp(shard int, id int64) bool {
	for _, c := range r.catchUps {
		if id > c.after && slices.Contains(c.shards, shard) {
			return true
		}
	}
	return false
}

// room returns how many rows may be read now.
func (l *loop) room() int {
	room := min(l.cfg.Window-len(l.window.items), (l.cfg.WindowBytes-l.window.bytes)/l.reader.rowBytes)
	return min(room, l.cfg.FetchLimit)
}

func (l *loop) mayFetch() bool {
	if l.ending || l.reader.fetching || !l.reader.started || len(l.lease.held) == len(l.lease.draining) {
		return false
	}
	// Small fetches cost as much as large ones: wait until there is some room,
	// unless few rows are held and they are simply large.
	held, some := len(l.window.items), l.cfg.FetchLimit/8
	room := l.room()
	return room >= some || room > 0 && held < some || held == 0
}

// maybeFetch starts the next fetch when it is time.
func (l *loop) maybeFetch(now time.Time) {
	if !l.mayFetch() || now.Before(l.reader.nextFetch) {
		return
	}
	f := l.plan(now)
	l.reader.fetching, l.reader.stale = true, false
	l.fetch(f)
}

// fetch reads a page of f.
func (l *loop) fetch(f plannedFetch) {
	l.stats.now.Fetches++
	ctx, cancel := context.WithTimeout(l.io, l.fetchTimeout())
	l.reader.cancel = cancel
	l.call(func() func() {
		defer cancel()
		got, err := l.store.Fetch(ctx, f.page)
		var p prepared
		if err == nil {
			p = prepare(got)
		}
		return func() { l.fetched(f, got, p, err) } //nolint:contextcheck // the next page has a context of its own, from loop.io
	})
}

// fetchTimeout is generous: a fetch that the database is slow to answer is not
// made better by asking again, and nothing is sent under a lapsed lease anyway.
func (l *loop) fetchTimeout() time.Duration { return max(l.cfg.LeaseTTL, l.cfg.SendTimeout) }

// fetched takes in the answer to f.
func (l *loop) fetched(f plannedFetch, got Fetched, p prepared, err error) {
	now := time.Now()
	l.reader.fetching = false
	switch {
	case l.ending:
	case l.reader.stale:
		l.reader.nextFetch = now
	case err != nil:
		l.fetchFailed(err, now)
	default:
		l.fetchWorks()
		if l.takeIn(&f, got, p, now) {
			l.reader.fetching = true
			l.fetch(f)
			return
		}
	}
	for _, it := range l.reader.settled {
		l.forgetSettled(it)
	}
	clear(l.reader.settled)
	l.reader.settled = l.reader.settled[:0]
}

func (l *loop) fetchFailed(err error, now time.Time) {
	l.stats.now.FetchErrors++
	l.reader.failures++
	if l.reader.failures == 1 {
		l.log.Warn("could not read events: trying again", slog.Any("error", err))
	}
	l.reader.nextFetch = now.Add(backoff(l.reader.failures, l.cfg.RetryMin, fetchRetryMax, l.spread()))
}

func (l *loop) fetchWorks() {
	if l.reader.failures > 0 {
		l.log.Info("reading events again", slog.Int("failures", l.reader.failures))
		l.reader.failures = 0
	}
}

// paceNext decides when to read again: at once while there is more, soon while
// events come, and ever more slowly, down to PollIdle, while none do.
func (l *loop) paceNext(p prepared, found int, full bool, now time.Time) {
	r := &l.reader
	if p.rows > 0 {
		r.rowBytes = max(1024, 2*p.bytes/p.rows, r.rowBytes*3/4)
	}
	switch {
	case full:
		r.pause = r.pollBusy
		r.active = now
		r.nextFetch = now
		return
	case found > 0:
		r.pause = r.pollBusy
		r.active = now
	default:
		r.pause = min(r.pause*5/4+1, r.pollIdle)
	}
	r.nextFetch = now.Add(r.pause)
}
