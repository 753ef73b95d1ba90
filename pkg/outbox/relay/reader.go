package relay

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
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
	l.stats.now.Fetches++
	ctx, cancel := context.WithTimeout(l.io, l.fetchTimeout())
	l.reader.cancel = cancel
	l.call(func() func() {
		defer cancel()
		got, err := l.store.Fetch(ctx, f.Fetch)
		var p prepared
		if err == nil {
			p = prepare(got)
		}
		return func() { l.fetched(f, got, p, err) }
	})
}

// fetchTimeout is generous: a fetch that the database is slow to answer is not
// made better by asking again, and nothing is sent under a lapsed lease anyway.
func (l *loop) fetchTimeout() time.Duration { return max(l.cfg.LeaseTTL, l.cfg.SendTimeout) }

// plannedFetch is a fetch and what its parts were asked for.
type plannedFetch struct {
	Fetch
	catchUps  []*catchUp
	backfills []backfillOf
	// resuming is set when holds were about to be deleted: rows on hold are
	// hidden from all but the backfills of their lanes.
	resuming bool
}

// backfillOf says what a backfill is for: a lane, a destination, or a sweep.
type backfillOf struct {
	lane  *lane
	dest  *destination
	sweep bool
}

// plan decides what to read next: new rows, catch-ups, what was left in the
// table by lanes and destinations that now have room, and the gaps.
func (l *loop) plan(now time.Time) plannedFetch {
	limit := max(1, l.room())
	f := plannedFetch{Fetch: Fetch{
		Scans:    []Scan{{After: l.reader.head, Limit: limit}},
		Gaps:     l.reader.gaps.ranges(),
		GapLimit: limit,
		Shards:   l.lease.working(),
	}}
	for _, c := range l.reader.catchUps {
		f.catchUps = append(f.catchUps, c)
		f.Scans = append(f.Scans, Scan{After: c.after, Shards: slices.Clone(c.shards), Limit: limit})
	}
	if len(f.Gaps) > 0 && !now.Before(l.reader.nextWriters) {
		f.Writers = true
		l.reader.nextWriters = now.Add(writersEvery)
	}
	for _, name := range l.names {
		d := l.dests[name]
		if d.from == 0 || d.held > d.cap/2 || d.heldBytes > d.capBytes/2 || now.Before(d.pausedUntil) {
			continue
		}
		f.backfills = append(f.backfills, backfillOf{dest: d})
		f.Backfills = append(f.Backfills, Backfill{Lane: outbox.Lane{Destination: d.name}, From: d.from, Limit: min(limit, d.cap-d.held), Examine: backfillExamine})
	}
	l.planLanes(&f)
	l.planSweep(&f, limit, now)
	f.resuming = l.window.resuming()
	return f
}

// planLanes adds backfills of lanes that have room, in turn.
func (l *loop) planLanes(f *plannedFetch) {
	var hungry []*lane
	for lane := range l.window.left {
		if lane.state == blocked || lane.resume && !lane.search || len(lane.queue) > l.cfg.LaneWindow/2 {
			continue
		}
		// Rows of the lane may have been left with those of the destination.
		// They go before what was left by the lane alone.
		if from := lane.dest.from; from != 0 && from < lane.from && !lane.search {
			lane.from = from
		}
		hungry = append(hungry, lane)
	}
	if len(hungry) == 0 {
		return
	}
	// The longest left behind go first, and all come in turn.
	slices.SortFunc(hungry, func(a, b *lane) int { return cmp.Compare(a.from, b.from) })
	for i := range min(len(hungry), maxBackfills) {
		lane := hungry[(l.reader.turn+i)%len(hungry)]
		f.backfills = append(f.backfills, backfillOf{lane: lane})
		f.Backfills = append(f.Backfills, Backfill{Lane: lane.key, From: lane.from, Limit: l.cfg.LaneWindow - len(lane.queue), Examine: backfillExamine})
	}
	if len(hungry) > maxBackfills {
		l.reader.turn += maxBackfills
	}
}

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
		l.takeIn(f, got, p, now)
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

// takeIn admits what was read. Rows found in gaps come first: they were visible
// at least as early as what the scans found, and have lower ids. When there are
// more of them than one fetch may bring, reading goes back to where they end,
// so that everything above is read again in order. A row on hold is seen
// without its record: while a hold is about to go, its id stays a gap, so that
// it is looked at again.
func (l *loop) takeIn(f plannedFetch, got Fetched, p prepared, now time.Time) {
	r := &l.reader
	frozen := f.resuming || l.window.resuming()
	if !frozen {
		for _, id := range got.Seen {
			r.gaps.seen(id)
		}
	}
	for _, it := range p.gaps {
		l.stats.now.Late++
		r.gaps.seen(it.rec.ID)
		l.admit(it, fromGap)
	}
	if got.GapsThrough != 0 {
		l.rewind(got.GapsThrough)
		r.nextFetch = now
		return
	}
	if f.Writers && !frozen {
		r.gaps.ended(got.Writers)
	}
	found := len(p.gaps)
	fresh := &cohort{}
	full := false
	for i, scan := range f.Scans {
		n := len(got.Scans[i])
		full = full || n == scan.Limit
		found += l.takeScan(f, i, got.Scans[i], p.scans[i], fresh)
	}
	for i, b := range f.backfills {
		if b.sweep {
			found += l.takeSweep(got.Backfills[i].Next, p.backfills[i], now)
			continue
		}
		found += len(p.backfills[i])
		full = full || got.Backfills[i].Next != 0
		l.takeBackfill(b, f.Backfills[i].From, got.Backfills[i].Next, p.backfills[i])
	}
	// The gaps were read after the backfills. A row that was left for one of
	// them, which has ended without it, is not coming back by itself.
	for _, it := range p.gaps {
		l.admit(it, fromGap)
	}
	l.paceNext(p, found, full, now)
}

// takeScan admits the rows of one scan, notes the ids that are missing between
// them, and returns how many rows there were.
func (l *loop) takeScan(f plannedFetch, i int, rows []Row, items []*item, fresh *cohort) int {
	r := &l.reader
	scan := f.Scans[i]
	if i == 0 {
		last := scan.After
		for j, row := range rows {
			r.gaps.add(last+1, row.ID-1, fresh)
			last = row.ID
			if items[j] != nil {
				l.admit(items[j], fromScan)
			}
		}
		r.head = max(r.head, last)
		return len(rows)
	}
	c := f.catchUps[i-1]
	if !slices.Contains(r.catchUps, c) {
		return 0 // given back meanwhile
	}
	last := scan.After
	for j, row := range rows {
		r.gaps.add(last+1, min(row.ID-1, r.head), fresh)
		last = row.ID
		if last > r.head {
			break // the main scan brings it: nothing may read ahead of that
		}
		if items[j] != nil && slices.Contains(c.shards, items[j].rec.Shard) {
			l.admit(items[j], fromCatchUp)
		}
	}
	if len(rows) < scan.Limit || last >= r.head {
		r.gaps.add(last+1, r.head, fresh)
		r.catchUps = slices.DeleteFunc(r.catchUps, func(x *catchUp) bool { return x == c })
		return len(rows)
	}
	c.after = last
	return len(rows)
}

// takeBackfill admits what a lane or a destination had left in the table. When
// nothing more is left, later rows come with later scans.
//
// What lies above head comes with scans as well: a backfill that read ahead of
// them would overtake rows that commit in between.
func (l *loop) takeBackfill(b backfillOf, from, next int64, items []*item) {
	head := l.reader.head
	bounded := b.lane == nil || !b.lane.search
	if bounded && next > head {
		next = 0
	}
	if above := slices.IndexFunc(items, func(it *item) bool { return it.rec.ID > head }); bounded && above >= 0 {
		items, next = items[:above], 0
	}
	if b.lane == nil {
		if b.dest.from != from {
			return // moved meanwhile
		}
		b.dest.from = next
		for _, it := range items {
			l.admit(it, fromDestination)
		}
		return
	}
	lane := b.lane
	if l.window.lanes[lane.key] != lane || lane.from != from {
		return // given back, or moved meanwhile
	}
	if lane.search {
		l.searched(lane, next, items)
		return
	}
	if lane.from = next; next == 0 {
		l.window.complete(lane)
	}
	for _, it := range items {
		l.admit(it, fromLane)
	}
	l.window.forget(lane)
}

// searched takes in where a lane to be resumed begins. Nothing of it is read
// before its hold is deleted: late rows that a hold hides would be overtaken.
func (l *loop) searched(lane *lane, next int64, items []*item) {
	switch {
	case len(items) > 0:
		// Scans pass over what the hold hides, so all above head is left as well.
		lane.from = min(items[0].rec.ID, l.reader.head+1)
	case next != 0:
		lane.from = next
		return
	default:
		lane.from = l.reader.head + 1
	}
	lane.search = false
	l.lease.resumed[lane.key] = true
	l.lease.renewAt = time.Now()
}

// rewind goes back to reading everything above id, in order: nothing that reads
// on from a higher id may overtake the rows in between.
func (l *loop) rewind(id int64) {
	r := &l.reader
	for _, c := range r.catchUps {
		c.after = min(c.after, id)
	}
	for _, d := range l.dests {
		d.from = min(d.from, id+1)
	}
	for lane := range l.window.left {
		lane.from = min(lane.from, id+1)
	}
	r.head = min(r.head, id)
	r.gaps = gaps{list: slices.DeleteFunc(r.gaps.list, func(g gap) bool { return g.From > id })}
	if n := len(r.gaps.list); n > 0 {
		r.gaps.list[n-1].To = min(r.gaps.list[n-1].To, id)
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
