package relay

import (
	"cmp"
	"slices"
	"time"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

// plannedFetch is a fetch and what its parts were asked for.
type plannedFetch struct {
	Fetch
	// began is when it was planned.
	began     time.Time
	catchUps  []*catchUp
	backfills []backfillOf

	// page is the fetch to send: Fetch, or, once that has come back, what is
	// left of its gaps. first is what came back.
	page  Fetch
	first *firstPage
	// late counts the new rows found in the gaps, refused are those that had to
	// stay in the table.
	late    int
	refused []refusal
}

// firstPage is what a fetch brought whose gaps take more than one.
type firstPage struct {
	got Fetched
	p   prepared
}

// refusal is a row found in a gap and not admitted.
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
		if g.To > got.GapsThrough {
			f.page.Gaps = append(f.page.Gaps, Range{max(g.From, got.GapsThrough+1), g.To})
		}
	}
}

// backfillOf says what a backfill is for: a lane, a destination, or a sweep.
type backfillOf struct {
	lane *lane
	// search is set for a lane that is being searched.
	search bool
	dest   *destination
	sweep  bool
}

// plan decides what to read next: new rows, catch-ups, what was left in the
// table by lanes and destinations that now have room, and the gaps.
func (l *loop) plan(now time.Time) plannedFetch {
	limit := max(1, l.room())
	f := plannedFetch{began: now, Fetch: Fetch{
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
		f.Backfills = append(f.Backfills, Backfill{Lane: outbox.Lane{Destination: d.name}, From: d.from, Limit: min(limit, d.cap-d.held), Examine: l.cfg.examine})
	}
	l.planLanes(&f)
	l.planSweep(&f, limit, now)
	f.page = f.Fetch
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
		f.backfills = append(f.backfills, backfillOf{lane: lane, search: lane.search})
		f.Backfills = append(f.Backfills, Backfill{Lane: lane.key, From: lane.from, Held: lane.search, Limit: l.cfg.LaneWindow - len(lane.queue), Examine: l.cfg.examine})
	}
	if len(hungry) > maxBackfills {
		l.reader.turn += maxBackfills
	}
}
