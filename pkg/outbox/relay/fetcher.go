package relay

import (
	"context"
	"log/slog"
	"time"
)

const (
	// writersEvery is the least time between two fetches that ask for the open transactions, whose end closes
	// gaps, while the gaps have at most maxGapIDs ids, and are themselves read in every fetch.
	writersEvery = 100 * time.Millisecond
	// maxGapIDs is the most ids of gaps that are read in every fetch: an uncommitted row takes 1 µs. Where there are
	// more, as beside a large transaction, each fetch asks for the open transactions, and only gaps of which a writer
	// has ended are read: of up to lookGaps times as many ids. Beyond that reading goes back to before them.
	maxGapIDs = 2_000
	lookGaps  = 5
	// backfillExamine is the most rows that one backfill looks at, which takes about 5 ms.
	backfillExamine = 5_000
	// maxBackfills is the most lanes that one fetch searches or backfills.
	maxBackfills = 16
	// firstRowBytes is the estimated size of a row, in bytes, until rows were read.
	firstRowBytes = 256 << 10
	// fetchRetryMax is the longest pause after a fetch or a settlement that failed.
	fetchRetryMax = time.Second
)

// fetcher decides when to fetch, and how much. At most one fetch is under way, whose gaps may take several
// round trips.
type fetcher struct {
	// running is set while a fetch is under way, and cancel cancels that fetch.
	running bool
	cancel  context.CancelFunc
	// stale is set when the answer of the fetch under way is to be thrown away: since the fetch was planned a
	// shard was gained, or a lane released anew, and the fetch passes over rows that are to be read now.
	stale bool
	// next is when the next fetch is due, nextWriters when one is to ask for the open transactions again.
	next, nextWriters time.Time
	// pause is the time from one fetch to the next. It is Config.PollBusy after a fetch that brought rows, and
	// grows by a quarter with each that brought none, up to Config.PollIdle.
	pause time.Duration
	// failures counts the fetches that failed since one succeeded.
	failures int
	// active is when a fetch last brought rows, or when the run began. emptyAt is when the last fetch that brought
	// none was planned: a slow or a failing database does not make a run idle.
	active, emptyAt time.Time
	// rowBytes is a high estimate of the bytes of a row's message, by which loop.room divides the free bytes.
	rowBytes int
	// turn is the index of the lane to read first, in the order of the lowest deferred ids, when more than
	// maxBackfills lanes have rows to read. It moves on with each such fetch.
	turn int
	// settled are items whose settlement was written while a fetch was under way. They stay buffered until that
	// fetch has come back: it may have read their rows as unsent.
	settled []*item
}

// room returns the most rows that each read of the next fetch may bring: what fits into Window, and into WindowBytes by
// the estimate rowBytes, up to FetchLimit. It is 0 or less when nothing fits. Fetch.Bytes bounds what the rows have.
func (l *loop) room() int {
	room := min(l.cfg.Window-len(l.window.items), (l.cfg.WindowBytes-l.window.bytes)/l.fetcher.rowBytes)
	return min(room, l.cfg.FetchLimit)
}

// mayFetch says whether a fetch may start once it is due: the run does not end, no other fetch is under way, a
// shard is owned that does not drain, and there is room.
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

// maybeFetch plans and starts the next fetch when it is due and mayFetch allows it.
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

// fetch starts a call of at most fetchTimeout that sends f.page to the store. The method fetched takes in the
// answer.
func (l *loop) fetch(f plannedFetch) {
	l.stats.now.Fetches++
	ctx, cancel := context.WithTimeout(l.io, l.fetchTimeout())
	l.fetcher.cancel = cancel
	l.call(func() func() {
		defer cancel()
		got, err := l.store.Fetch(ctx, f.page)
		var p prepared
		if err == nil {
			p = prepare(got, l.cfg.Destinations)
		}
		return func() { l.fetched(f, p, err) } //nolint:contextcheck // the next page has a context of its own, from loop.io
	})
}

// fetchTimeout is the most time that a fetch may take. It is long: a database that is slow to answer is not faster
// when asked again, and nothing is sent under a lapsed lease in any case.
func (l *loop) fetchTimeout() time.Duration { return max(l.cfg.LeaseTTL, l.cfg.SendTimeout) }

// fetched takes in p, the answer to f.page, or the error err. It sends the next page of the gaps if there is one.
// Otherwise the fetch is over, and the items that were settled while it was under way leave the window. A stale
// answer, one of another era, and any at the end of the run, is thrown away.
func (l *loop) fetched(f plannedFetch, p prepared, err error) {
	now := time.Now()
	l.fetcher.running = false
	// The end of the run cancels a fetch, which says nothing about one that has just begun.
	if err == nil || !l.ending || now.Sub(f.began) >= l.cfg.SendTimeout {
		l.trial.reading.note(err, now)
	}
	switch {
	case l.ending:
	case l.fetcher.stale:
		l.fetcher.next = now
	case err != nil:
		l.fetchFailed(err, now)
	case !l.readInEra(p.Era, p.LastID, now):
	default:
		if l.fetcher.failures > 0 {
			l.log.Info("reading events again", slog.Int("failures", l.fetcher.failures))
			l.fetcher.failures = 0
		}
		if l.takeIn(&f, p, now) {
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

// fetchFailed counts the error err, logs it if it is the first in a row, and makes the next fetch due after a
// back-off from RetryMin to fetchRetryMax.
func (l *loop) fetchFailed(err error, now time.Time) {
	l.stats.now.FetchErrors++
	l.fetcher.failures++
	if l.fetcher.failures == 1 {
		l.log.Warn("could not read events: trying again", slog.Any("error", err))
	}
	l.fetcher.next = now.Add(backoff(l.fetcher.failures, l.cfg.RetryMin, fetchRetryMax, l.cfg.spread()))
}

// paceNext sets when the fetch after one that was planned at began is due: at once when a read has more to bring
// (full), after PollBusy when rows were found (found above 0), else after a pause that grows up to PollIdle. It
// also adapts rowBytes to the rows of p, and notes when rows last came or did not.
func (l *loop) paceNext(p prepared, found int, full bool, began, now time.Time) {
	r := &l.fetcher
	if p.rows > 0 {
		r.rowBytes = max(1024, 2*p.bytes/p.rows, r.rowBytes*3/4)
	}
	r.pause = min(r.pause*5/4+1, l.cfg.PollIdle)
	if full || found > 0 {
		r.pause, r.active = l.cfg.PollBusy, now
	} else {
		r.emptyAt = began
	}
	r.next = now
	if !full {
		r.next = now.Add(r.pause)
	}
}
