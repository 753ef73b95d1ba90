package relay

import (
	"cmp"
	"slices"
	"time"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

// plannedFetch is a fetch, with what each of its reads is for.
type plannedFetch struct {
	Fetch
	// began is when the fetch was planned.
	began time.Time
	// catchUps[i] is the catch-up that Scans[i+1] reads a page of. destinations[i], searches[i] and lanes[i] are
	// the destination or lane that Destinations[i], Searches[i] and Lanes[i] read.
	catchUps     []*catchUp
	destinations []*destination
	searches     []*lane
	lanes        []*lane
	// crowded is set when more than maxBackfills lanes have rows to read: the fetch reads that many of them.
	crowded bool

	// page is what to send to the store next: at first the whole Fetch, and then, page by page, reads of the
	// gaps that the answers did not reach. first keeps the answer to the whole Fetch while these pages are
	// read, and is nil otherwise.
	page  Fetch
	first *prepared
	// late counts the rows that were found in the gaps and buffered. refused are the rows that were found in
	// the gaps and not buffered.
	late    int
	refused []refusal
	// wide says that the gaps have too many ids to read all with each fetch. Then the fetch asks for the open
	// transactions, and reads on pages to come the gaps of which a writer has ended.
	wide bool
	// gapPages counts the pages of the gaps that were taken in.
	gapPages int
}

// refusal is a row that was found in a gap and that admit did not buffer, or was not given yet.
type refusal struct {
	identity
	shard int
	lane  outbox.Lane
}

// nextPage makes f.page a read of the gaps above the id at which the answer p ended (p.Gaps.Through), or of all where
// that is 0. The first call keeps p as f.first.
func (f *plannedFetch) nextPage(p prepared) {
	if f.first == nil {
		f.first = &p
	}
	f.page = Fetch{Bytes: f.Bytes, GapLimit: f.GapLimit, Shards: f.Shards}
	for _, g := range f.Gaps {
		if g.To > p.Gaps.Through {
			f.page.Gaps = append(f.page.Gaps, Range{max(g.From, p.Gaps.Through+1), g.To})
		}
	}
}

// plan returns the fetch to send next: new rows, catch-ups, what destinations with room and the given lanes
// deferred, a page of the sweep if one is due, the open transactions if writersEvery has passed, and the gaps. Gaps of
// more than Config.gapIDs ids are left for later pages, and the open transactions come with each fetch then. It changes
// no state: the method planned does.
func (l *loop) plan(lanes []*lane, now time.Time) plannedFetch {
	limit := max(1, l.room())
	f := plannedFetch{began: now, Fetch: Fetch{
		Bytes:    max(1, min(l.cfg.FetchBytes, l.cfg.WindowBytes-l.window.bytes)),
		Scans:    []Scan{{After: l.cursor.head, Limit: limit}},
		GapLimit: limit,
		Shards:   l.lease.working(),
		Sweep:    l.cursor.sweep.next(l.names, limit, l.cursor.head, now),
	}}
	for _, u := range l.cursor.catchUps {
		f.catchUps = append(f.catchUps, u)
		f.Scans = append(f.Scans, Scan{After: u.after, Shards: slices.Clone(u.shards), Limit: limit})
	}
	if f.wide = l.cursor.gaps.ids() > l.cfg.gapIDs; !f.wide {
		f.Gaps = l.cursor.gaps.ranges()
	}
	f.Writers = f.wide || len(f.Gaps) > 0 && !now.Before(l.fetcher.nextWriters)
	for _, name := range l.names {
		d := l.dests[name]
		if !d.deferred.any() || d.events.half() || d.bytes.half() || now.Before(d.pausedUntil) {
			continue
		}
		f.destinations = append(f.destinations, d)
		page := Page{From: d.deferred.first, Before: d.deferred.before(), Limit: min(limit, d.events.limit()-d.events.used), Examine: l.cfg.examine}
		f.Destinations = append(f.Destinations, DestinationBackfill{Destination: d.name, Page: page})
	}
	f.planLanes(lanes, l.fetcher.turn, l.cfg)
	f.page = f.Fetch
	return f
}

// planLanes adds a search or a backfill for each lane, at most maxBackfills, in order of the lowest deferred
// id. Where there are more lanes it begins at index turn (modulo their number) of that order, so that every
// lane has its turn.
func (f *plannedFetch) planLanes(lanes []*lane, turn int, cfg Config) {
	lanes = slices.SortedFunc(slices.Values(lanes), func(a, b *lane) int { return cmp.Compare(a.deferred.first, b.deferred.first) })
	f.crowded = len(lanes) > maxBackfills
	for i := range min(len(lanes), maxBackfills) {
		lane := lanes[(turn+i)%len(lanes)]
		first := lane.deferred.first
		if lane.deferred.release == searching {
			f.searches = append(f.searches, lane)
			f.Searches = append(f.Searches, LaneSearch{Lane: lane.key, From: first, Examine: cfg.examine})
			continue
		}
		f.lanes = append(f.lanes, lane)
		page := Page{From: first, Before: lane.deferred.before(), Limit: cfg.LaneWindow - len(lane.queue), Examine: cfg.examine}
		f.Lanes = append(f.Lanes, LaneBackfill{Lane: lane.key, Page: page})
	}
}

// lanesWithRoom returns the lanes to search or backfill: those that deferred rows, have at most half of LaneWindow
// buffered and room at their destination, are not blocked by an event that is not settled yet, and do not wait for a
// renewal to unblock them.
func (l *loop) lanesWithRoom() []*lane {
	var out []*lane
	for lane := range l.cursor.lanes {
		if lane.deferred.release != searching && lane.dest.full() {
			continue
		}
		if lane.state != blocked && lane.deferred.release != found && len(lane.queue) <= l.cfg.LaneWindow/2 {
			out = append(out, lane)
		}
	}
	return out
}

// planned records what the fetch f, which is about to be sent, asks for: the open transactions, a page of the
// sweep, and a part of the lanes, for which it moves fetcher.turn on.
func (l *loop) planned(f *plannedFetch) {
	if f.Writers {
		l.fetcher.nextWriters = f.began.Add(writersEvery)
	}
	if f.crowded {
		l.fetcher.turn += maxBackfills
	}
	if f.Sweep != nil {
		l.cursor.sweep.asked(f.Sweep, f.began)
	}
}
