package relay

import (
	"context"
	"log/slog"
	"time"
)

const (
	// writersEvery is the time between looks at the open transactions. Gaps are
	// read in every fetch; this only decides when they are given up.
	writersEvery = 100 * time.Millisecond
	// backfillExamine bounds the rows that one backfill looks at: about 5 ms.
	backfillExamine = 5_000
	// maxBackfills bounds the lanes that are read in one fetch.
	maxBackfills = 16
	// firstRowBytes is taken for the size of a row before any was read.
	firstRowBytes = 256 << 10
	// fetchRetryMax bounds the pause after fetches that failed.
	fetchRetryMax = time.Second
)

// fetcher is when to fetch, and how much: there is one fetch at a time.
type fetcher struct {
	// running says that a fetch is under way, and cancel ends it.
	running bool
	cancel  context.CancelFunc
	// stale says that the answer of the fetch under way is not to be taken: a shard
	// was gained, or a lane released anew, after it was planned, so that it passes
	// over rows that are to be read now.
	stale bool
	// next is when the next fetch is due, nextWriters when it asks for the open
	// transactions again.
	next, nextWriters time.Time
	// pause is the time to the next fetch while none brings rows. It grows from
	// pollBusy to pollIdle.
	pause, pollBusy, pollIdle time.Duration
	// failures counts failed fetches in a row.
	failures int
	// active is when rows were last read.
	active time.Time
	// rowBytes estimates the size of a row, to ask for no more than there is room
	// for.
	rowBytes int
	// turn rotates the lanes when there are too many for one fetch.
	turn int
	// settled are items whose settlement is written. They stay buffered until the
	// fetch under way has come back: it may have read their rows as unsent.
	settled []*item
}

func newFetcher(now time.Time, cfg Config) fetcher {
	return fetcher{next: now, active: now, pause: cfg.PollBusy, rowBytes: firstRowBytes, pollBusy: cfg.PollBusy, pollIdle: cfg.PollIdle}
}

// room returns how many rows may be read now.
func (l *loop) room() int {
	room := min(l.cfg.Window-len(l.window.items), (l.cfg.WindowBytes-l.window.bytes)/l.fetcher.rowBytes)
	return min(room, l.cfg.FetchLimit)
}

// mayFetch says whether there is a shard to read, and room.
func (l *loop) mayFetch() bool {
	if l.ending || l.fetcher.running || !l.cursor.started || len(l.lease.owned) == len(l.lease.draining) {
		return false
	}
	// Small fetches cost as much as large ones: wait until there is some room,
	// unless few rows are buffered and they are simply large.
	buffered, some := len(l.window.items), l.cfg.FetchLimit/8
	room := l.room()
	return room >= some || room > 0 && buffered < some || buffered == 0
}

// maybeFetch starts the next fetch when it is time.
func (l *loop) maybeFetch(now time.Time) {
	if !l.mayFetch() || now.Before(l.fetcher.next) {
		return
	}
	lanes := l.lanesWithRoom()
	l.cursor.takeOver(lanes)
	f := l.plan(lanes, now)
	l.planned(&f)
	l.fetcher.running, l.fetcher.stale = true, false
	l.fetch(f)
}

// fetch reads a page of f.
func (l *loop) fetch(f plannedFetch) {
	l.stats.now.Fetches++
	ctx, cancel := context.WithTimeout(l.io, l.fetchTimeout())
	l.fetcher.cancel = cancel
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

// fetched takes in the answer to a page of f.
func (l *loop) fetched(f plannedFetch, got Fetched, p prepared, err error) {
	now := time.Now()
	l.fetcher.running = false
	switch {
	case l.ending:
	case l.fetcher.stale:
		l.fetcher.next = now
	case err != nil:
		l.fetchFailed(err, now)
	default:
		l.fetchWorks()
		if l.takeIn(&f, got, p, now) {
			l.fetcher.running = true
			l.fetch(f)
			return
		}
	}
	for _, it := range l.fetcher.settled {
		l.forgetSettled(it)
	}
	clear(l.fetcher.settled)
	l.fetcher.settled = l.fetcher.settled[:0]
}

func (l *loop) fetchFailed(err error, now time.Time) {
	l.stats.now.FetchErrors++
	l.fetcher.failures++
	if l.fetcher.failures == 1 {
		l.log.Warn("could not read events: trying again", slog.Any("error", err))
	}
	l.fetcher.next = now.Add(backoff(l.fetcher.failures, l.cfg.RetryMin, fetchRetryMax, l.spread()))
}

func (l *loop) fetchWorks() {
	if l.fetcher.failures > 0 {
		l.log.Info("reading events again", slog.Int("failures", l.fetcher.failures))
		l.fetcher.failures = 0
	}
}

// paceNext decides when to read again: at once while there is more, soon while
// events come, and ever more slowly, down to PollIdle, while none do.
func (l *loop) paceNext(p prepared, found int, full bool, now time.Time) {
	r := &l.fetcher
	if p.rows > 0 {
		r.rowBytes = max(1024, 2*p.bytes/p.rows, r.rowBytes*3/4)
	}
	switch {
	case full:
		r.pause = r.pollBusy
		r.active = now
		r.next = now
		return
	case found > 0:
		r.pause = r.pollBusy
		r.active = now
	default:
		r.pause = min(r.pause*5/4+1, r.pollIdle)
	}
	r.next = now.Add(r.pause)
}
