package relay

import (
	"cmp"
	"slices"
	"time"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

// plannedFetch is a fetch, and what each of its reads is for.
type plannedFetch struct {
	Fetch
	// began is when it was planned.
	began time.Time
	// catchUps are those of Scans[1:], destinations those of Destinations,
	// searches the lanes of Searches, lanes those of Lanes.
	catchUps     []*catchUp
	destinations []*destination
	searches     []*lane
	lanes        []*lane
	// crowded says that more lanes than fit into one fetch have rows to read.
	crowded bool

	// page is the fetch to send: Fetch, and once that has come back, one that
	// reads those of its gaps that are left. first is what came back, nil before.
	page  Fetch
	first *firstPage
	// late counts the new rows found in the gaps, refused are those that had to
	// stay in the table.
	late    int
	refused []refusal
}

// firstPage is the answer to a fetch whose gaps take more than one page.
type firstPage struct {
	got Fetched
	p   prepared
}

// refusal is a row found in a gap and not buffered.
type refusal struct {
	id    int64
	shard int
	lane  outbox.Lane
}

// nextPage moves on to the gaps above those that were read.
func (f *plannedFetch) nextPage(got Fetched, p prepared) {
	if f.first == nil {
		f.first = &firstPage{got, p}
	}
	f.page = Fetch{GapLimit: f.GapLimit, Shards: f.Shards}
	for _, g := range f.Gaps {
		if g.To > got.Gaps.Through {
			f.page.Gaps = append(f.page.Gaps, Range{max(g.From, got.Gaps.Through+1), g.To})
		}
	}
}

// plan decides what to read next: new rows, catch-ups, what destinations and
// the given lanes deferred, a page of a sweep, and the gaps. It changes nothing:
// planned does.
func (l *loop) plan(lanes []*lane, now time.Time) plannedFetch {
	limit := max(1, l.room())
	f := plannedFetch{began: now, Fetch: Fetch{
		Scans:    []Scan{{After: l.cursor.head, Limit: limit}},
		Gaps:     l.cursor.gaps.ranges(),
		GapLimit: limit,
		Shards:   l.lease.working(),
		Sweep:    l.cursor.sweep.next(limit, now),
	}}
	for _, u := range l.cursor.catchUps {
		f.catchUps = append(f.catchUps, u)
		f.Scans = append(f.Scans, Scan{After: u.after, Shards: slices.Clone(u.shards), Limit: limit})
	}
	f.Writers = len(f.Gaps) > 0 && !now.Before(l.fetcher.nextWriters)
	for _, name := range l.names {
		d := l.dests[name]
		if !d.deferred.any() || d.buffered > d.cap/2 || d.bufferedBytes > d.capBytes/2 || now.Before(d.pausedUntil) {
			continue
		}
		f.destinations = append(f.destinations, d)
		page := Page{From: d.deferred.from, Limit: min(limit, d.cap-d.buffered), Examine: l.cfg.examine}
		f.Destinations = append(f.Destinations, DestinationBackfill{Destination: d.name, Page: page})
	}
	f.planLanes(lanes, l.fetcher.turn, l.cfg)
	f.page = f.Fetch
	return f
}

// planLanes adds the reads of lanes. The longest deferred go first, and when
// there are too many for one fetch, all come in turn.
func (f *plannedFetch) planLanes(lanes []*lane, turn int, cfg Config) {
	lanes = slices.SortedFunc(slices.Values(lanes), func(a, b *lane) int { return cmp.Compare(a.deferred.from, b.deferred.from) })
	f.crowded = len(lanes) > maxBackfills
	for i := range min(len(lanes), maxBackfills) {
		lane := lanes[(turn+i)%len(lanes)]
		from := lane.deferred.from
		if lane.deferred.release == searching {
			f.searches = append(f.searches, lane)
			f.Searches = append(f.Searches, LaneSearch{Lane: lane.key, From: from, Examine: cfg.examine})
			continue
		}
		f.lanes = append(f.lanes, lane)
		page := Page{From: from, Limit: cfg.LaneWindow - len(lane.queue), Examine: cfg.examine}
		f.Lanes = append(f.Lanes, LaneBackfill{Lane: lane.key, Page: page})
	}
}

// lanesWithRoom returns the lanes to read: those that deferred rows, have room
// for them, and are not blocked.
func (l *loop) lanesWithRoom() []*lane {
	var out []*lane
	for lane := range l.cursor.lanes {
		if lane.state != blocked && lane.deferred.release != found && len(lane.queue) <= l.cfg.LaneWindow/2 {
			out = append(out, lane)
		}
	}
	return out
}

// planned notes that f is about to be sent.
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
