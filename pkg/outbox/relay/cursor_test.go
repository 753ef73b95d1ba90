package relay

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

// standing returns a cursor that has read up to head, with shard 1 gained.
func standing(head int64) cursor {
	c := newCursor(sweep{})
	c.destination("d")
	c.gain([]ShardLease{{Shard: 1, Resume: at(head, head)}})
	return c
}

// at returns the position of a relay that has read up to low and has settled the destination d up to settled.
func at(low, settled int64, gaps ...Range) Position {
	return Position{Low: low, Gaps: gaps, Lows: map[string]int64{"d": settled}}
}

func testLane(name string) *lane {
	return &lane{key: outbox.Lane{Destination: "d", AggregateType: "t", AggregateID: name}, shard: 1, heapIndex: -1}
}

func rowsAt(ids ...int64) []Row {
	rows := make([]Row, len(ids))
	for i, id := range ids {
		rows[i].ID = id
	}
	return rows
}

func TestTheFirstShardsSetTheHeadAndLaterOnesCatchUp(t *testing.T) {
	t.Parallel()
	c := newCursor(sweep{})
	if got := c.position(nil); !reflect.DeepEqual(got, Position{}) {
		t.Errorf("position before any shard = %+v", got)
	}
	c.gain([]ShardLease{
		{Shard: 1, Resume: Position{Low: 50, Gaps: []Range{{7, 9}, {38, 45}}}},
		{Shard: 2, Resume: Position{Low: 40}},
	})
	if c.head != 40 || len(c.catchUps) != 0 || !slices.Equal(c.gaps.ranges(), []Range{{7, 9}, {38, 40}}) {
		t.Errorf("head %d, catch-ups %v, gaps %v", c.head, c.catchUps, c.gaps.ranges())
	}
	c.gain([]ShardLease{{Shard: 3, Resume: at(20, 20)}, {Shard: 4, Resume: at(20, 20)}, {Shard: 5, Resume: at(60, 60)}})
	if len(c.catchUps) != 1 || c.catchUps[0].after != 20 || !slices.Equal(c.catchUps[0].shards, []int{3, 4}) || c.head != 40 {
		t.Errorf("head %d, catch-ups %+v", c.head, c.catchUps)
	}
	for shard, want := range map[int]int64{1: 40, 3: 20, 5: 40} {
		if got := c.readTo(shard); got != want {
			t.Errorf("shard %d was read to %d, want %d", shard, got, want)
		}
	}
	if c.catchingUp(3, 20) || !c.catchingUp(3, 21) || c.catchingUp(1, 21) {
		t.Error("the wrong rows come with the catch-up")
	}
	c.pin(3, at(20, 20))
	c.pin(4, at(20, 20))
	if len(c.catchUps) != 0 {
		t.Errorf("catch-ups of draining shards: %+v", c.catchUps)
	}
}

func TestIDsMissingFromAScanAreGaps(t *testing.T) {
	t.Parallel()
	c := standing(10)
	c.scanned(10, rowsAt(11, 14, 15, 17), &discovery{})
	if c.head != 17 || !slices.Equal(c.gaps.ranges(), []Range{{12, 13}, {16, 16}}) || c.complete() {
		t.Errorf("head %d, gaps %v", c.head, c.gaps.ranges())
	}
	c.scanned(17, nil, &discovery{})
	if c.head != 17 {
		t.Errorf("an empty scan moved the head to %d", c.head)
	}
}

func TestACatchUpReadsNoFurtherThanTheHead(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		rows  []Row
		limit int
		taken int
		after int64 // where the catch-up goes on, 0 when it has ended
		gaps  []Range
	}{
		{"a full page", rowsAt(22, 25), 2, 2, 25, []Range{{21, 21}, {23, 24}}},
		{"fewer rows than the limit", rowsAt(22), 2, 1, 0, []Range{{21, 21}, {23, 30}}},
		{"rows above the head", rowsAt(22, 29, 31, 33), 4, 2, 0, []Range{{21, 21}, {23, 28}, {30, 30}}},
		{"nothing", nil, 2, 0, 0, []Range{{21, 30}}},
		{"a row at the head", rowsAt(22, 30), 2, 2, 0, []Range{{21, 21}, {23, 29}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			c := standing(30)
			c.gain([]ShardLease{{Shard: 2, Resume: at(20, 20)}})
			u := c.catchUps[0]
			if n := c.caughtUp(u, 20, tc.rows, len(tc.rows) == tc.limit, &discovery{}); n != tc.taken {
				t.Errorf("%d rows are taken in, want %d", n, tc.taken)
			}
			if !slices.Equal(c.gaps.ranges(), tc.gaps) || c.head != 30 {
				t.Errorf("gaps %v, want %v; head %d", c.gaps.ranges(), tc.gaps, c.head)
			}
			if on := len(c.catchUps) == 1; on != (tc.after != 0) || on && u.after != tc.after {
				t.Errorf("catch-ups %+v, want to go on after %d", c.catchUps, tc.after)
			}
			c.catchUps = nil
			if n := c.caughtUp(u, 20, rowsAt(22), true, &discovery{}); n != 0 {
				t.Errorf("%d rows of shards that were given back are taken in", n)
			}
		})
	}
}

// The head is at 100. Whatever is not settled holds the position below it.
func TestThePositionAllowsForAllThatIsNotSettled(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name     string
		with     func(c *cursor)
		buffered int64 // 0 for none
		want     Position
	}{
		{"all is settled", func(*cursor) {}, 0, at(100, 100)},
		{"a buffered event", func(*cursor) {}, 60, at(100, 59)},
		{"rows deferred by a lane", func(c *cursor) { c.deferLane(testLane("a"), 60) }, 70, at(100, 59)},
		{"a lane that is searched", func(c *cursor) { c.releaseLane(testLane("a"), ReleasedLane{Shard: 1}) }, 0, at(100, 100)},
		{"a released lane whose first row is known", func(c *cursor) {
			l := testLane("a")
			c.releaseLane(l, ReleasedLane{Shard: 1})
			c.searched(l, 1, LaneStart{First: 60})
		}, 0, at(100, 59)},
		{"rows deferred by a destination", func(c *cursor) { c.destination("d").add(60) }, 0, at(100, 59)},
		{
			"another destination that stands still", func(c *cursor) { c.destination("still").add(60) }, 80,
			Position{Low: 100, Lows: map[string]int64{"d": 79, "still": 59}},
		},
		{"a catch-up", func(c *cursor) { c.gain([]ShardLease{{Shard: 2, Resume: at(59, 59)}}) }, 80, at(59, 59)},
		{"gaps", func(c *cursor) {
			c.gaps.add(20, 30, &discovery{})
			c.gaps.add(55, 65, &discovery{})
			c.gain([]ShardLease{{Shard: 2, Resume: at(60, 60)}})
		}, 0, at(60, 60, Range{20, 30}, Range{55, 60})},
		{"a shard that drains", func(c *cursor) {
			c.gaps.add(20, 30, &discovery{})
			c.pin(1, c.position(map[string]int64{"d": 60}))
			c.gaps.note(nil)
			c.gaps.looked() // its row was seen and passed over
			c.scanned(100, rowsAt(101, 102), &discovery{})
		}, 0, at(100, 59, Range{20, 30})},
		{"a shard that was given back", func(c *cursor) {
			c.pin(1, c.position(map[string]int64{"d": 60}))
			c.unpin(1)
		}, 0, at(100, 100)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			c := standing(100)
			tc.with(&c)
			buffered := map[string]int64{}
			if tc.buffered != 0 {
				buffered["d"] = tc.buffered
			}
			if got := c.position(buffered); !reflect.DeepEqual(got, tc.want) {
				t.Errorf("position = %+v, want %+v", got, tc.want)
			}
		})
	}
}

// A destination that stood still, or that the last owner did not know, is read on from its own place.
func TestAShardThatIsGainedDefersWhatEachDestinationHasNotSettled(t *testing.T) {
	t.Parallel()
	c := newCursor(sweep{})
	for _, name := range []string{"quick", "still", "new", "settled"} {
		c.destination(name)
	}
	c.gain([]ShardLease{
		{Shard: 1, Resume: Position{Low: 100, Lows: map[string]int64{"quick": 95, "still": 7, "settled": 100, "gone": 3}}},
		{Shard: 2, Resume: Position{Low: 110, Lows: map[string]int64{"quick": 105, "still": 9, "settled": 108, "new": 110}}},
	})
	if c.head != 100 || len(c.catchUps) != 0 {
		t.Errorf("head %d, catch-ups %+v", c.head, c.catchUps)
	}
	for name, want := range map[string]int64{"quick": 96, "still": 8, "new": 1, "settled": 0} {
		if got := c.destination(name).first; got != want {
			t.Errorf("%s defers from %d, want %d", name, got, want)
		}
	}
	if want := map[string]int64{"quick": 95, "still": 7, "new": 0, "settled": 100}; !reflect.DeepEqual(c.position(nil).Lows, want) {
		t.Errorf("position %+v, want %v", c.position(nil), want)
	}
}

func TestGoingBackReadsEachDestinationAgain(t *testing.T) {
	t.Parallel()
	c := standing(100)
	c.gaps.add(40, 60, &discovery{})
	c.gaps.add(90, 90, &discovery{})
	c.destination("behind").add(30)
	c.destination("ahead").add(70)
	high, low := testLane("high"), testLane("low")
	c.deferLane(high, 95)
	c.deferLane(low, 20)
	high.deferred.bound = 90
	c.goBack(50)
	if c.head != 100 || !slices.Equal(c.gaps.ranges(), []Range{{40, 60}, {90, 90}}) {
		t.Errorf("head %d, gaps %v", c.head, c.gaps.ranges())
	}
	if high.deferred.first != 51 || high.deferred.bound != 50 || low.deferred.first != 20 {
		t.Errorf("lanes deferred: %+v, %+v", high.deferred, low.deferred)
	}
	for name, want := range map[string]int64{"d": 51, "ahead": 51, "behind": 30} {
		if got := c.destination(name).first; got != want {
			t.Errorf("%s defers from %d, want %d", name, got, want)
		}
	}
}

func TestABackfillAdvancesOnlyWhatItWasAskedFor(t *testing.T) {
	t.Parallel()
	c := standing(100)
	l := testLane("a")
	c.deferLane(l, 20)
	c.deferLane(l, 30)
	if l.deferred.first != 20 || l.deferred.covers(19) || !l.deferred.covers(20) {
		t.Errorf("deferred: %+v", l.deferred)
	}
	if c.advanceLane(l, 15, 40) || l.deferred.first != 20 {
		t.Errorf("a page that was asked for before a row was deferred was taken in: %+v", l.deferred)
	}
	if !c.advanceLane(l, 20, 40) || l.deferred.first != 40 || len(c.lanes) != 1 {
		t.Errorf("after a page: %+v", l.deferred)
	}
	if !c.advanceLane(l, 40, 0) || !l.deferred.idle() || len(c.lanes) != 0 {
		t.Errorf("after the last page: %+v, %d lanes", l.deferred, len(c.lanes))
	}
	c.destination("d").add(10)
	c.deferLane(l, 20)
	c.takeOver([]*lane{l})
	if l.deferred.first != 10 {
		t.Errorf("a lane reads from %d on, its destination from 10", l.deferred.first)
	}
}

func TestABackfillEndsAtTheHead(t *testing.T) {
	t.Parallel()
	c := standing(100)
	page := func(ids ...int64) []*item {
		var items []*item
		for _, id := range ids {
			items = append(items, &item{rec: &outbox.Record{ID: id}})
		}
		return items
	}
	for _, tc := range []struct {
		items      []*item
		next       int64
		n          int
		goesOnFrom int64
	}{
		{page(20, 30), 31, 2, 31},
		{page(20, 30), 0, 2, 0},
		{page(20, 100), 101, 2, 0},
		{page(20, 101), 102, 1, 0},
		{page(101), 0, 0, 0},
		{nil, 100, 0, 100},
	} {
		if items, next := c.upToHead(tc.items, tc.next); len(items) != tc.n || next != tc.goesOnFrom {
			t.Errorf("of %d items and next %d: %d and %d, want %d and %d", len(tc.items), tc.next, len(items), next, tc.n, tc.goesOnFrom)
		}
	}
}

func TestAReleasedLaneIsSearchedAndThenUnblocked(t *testing.T) {
	t.Parallel()
	c := standing(100)
	l := testLane("a")
	first := ReleasedLane{Lane: l.key, Shard: 1, ReleasedAt: time.Unix(1, 0)}
	c.releaseLane(l, first)
	if l.deferred.release != searching || l.deferred.first != 1 || l.deferred.bound != 100 || len(c.toUnblock()) != 0 {
		t.Errorf("after the release: %+v", l.deferred)
	}
	if c.advanceLane(l, 1, 0) || l.deferred.release != searching {
		t.Error("a backfill of before the release was taken for the search")
	}
	if c.searched(l, 1, LaneStart{Next: 50}) || l.deferred.first != 50 {
		t.Errorf("after a page without a row: %+v", l.deferred)
	}
	if c.searched(l, 1, LaneStart{First: 3}) {
		t.Error("a page that was not asked for was taken in")
	}
	if c.unblocked(l); l.deferred.release != searching {
		t.Error("a lane that is being searched goes on as unblocked")
	}
	if !c.searched(l, 50, LaneStart{First: 70}) || l.deferred.release != found || l.deferred.first != 70 {
		t.Errorf("after the search: %+v", l.deferred)
	}
	if got := c.toUnblock(); len(got) != 1 || got[0] != first {
		t.Errorf("to unblock: %+v", got)
	}
	again := first
	again.ReleasedAt = time.Unix(2, 0)
	c.releaseLane(l, again)
	if l.deferred.release != searching || l.deferred.first != 1 || len(c.toUnblock()) != 0 {
		t.Errorf("after it was released anew: %+v", l.deferred)
	}
	c.searched(l, 1, LaneStart{})
	if got := c.toUnblock(); l.deferred.first != 101 || len(got) != 1 || got[0] != again {
		t.Errorf("a search that found no row: %+v, to unblock %+v", l.deferred, got)
	}
	c.unblocked(l)
	if l.deferred.release != notReleased || !l.deferred.any() || l.deferred.idle() {
		t.Errorf("after it was unblocked: %+v", l.deferred)
	}
	c.releaseLane(l, again)
	if c.dropLane(l); !l.deferred.idle() || len(c.lanes) != 0 {
		t.Errorf("after its shard drained: %+v", l.deferred)
	}
}

// A row that commits behind the search is hidden from scans: it may be below the
// first row that the search finds above it.
func TestABlockedRowInAGapIsNotOvertaken(t *testing.T) {
	t.Parallel()
	c := standing(100)
	l := testLane("a")
	c.releaseLane(l, ReleasedLane{Lane: l.key, Shard: 1})
	c.searched(l, 1, LaneStart{Next: 60})
	c.deferBlocked(l, 40)
	if c.searched(l, 60, LaneStart{First: 70}) {
		t.Error("the page that was asked for before was taken in")
	}
	c.searched(l, 40, LaneStart{First: 70})
	if l.deferred.first != 40 {
		t.Errorf("the lane begins with %d, want 40", l.deferred.first)
	}
}

func TestPlanningChangesNothing(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	l := newLoop(t.Context(), nil, Config{Destinations: map[string]Destination{}, SweepEvery: time.Second}.WithDefaults(), now.Add(time.Hour))
	l.dests["d"] = &destination{name: "d", events: shares(10, 1)(), bytes: shares(10, 1)(), deferred: l.cursor.destination("d")}
	l.names = []string{"d"}
	l.cursor = standing(100)
	l.dests["d"].deferred = l.cursor.destination("d")
	l.dests["d"].deferred.add(30)
	l.cursor.gaps.add(10, 20, &discovery{})
	l.cursor.sweep = newSweep(now.Add(-time.Minute), l.cfg)
	for i := range maxBackfills + 3 {
		lane := testLane(string(rune('a' + i)))
		lane.dest = l.dests["d"]
		l.cursor.deferLane(lane, int64(40+i))
		if i%2 == 0 {
			l.cursor.releaseLane(lane, ReleasedLane{Lane: lane.key, Shard: 1})
		}
	}
	lanes := l.lanesWithRoom()
	before, turn, asked := l.cursor.position(nil), l.fetcher.turn, l.cursor.sweep
	first, second := l.plan(lanes, now), l.plan(lanes, now)
	if !reflect.DeepEqual(first.Fetch, second.Fetch) {
		t.Errorf("planned %+v, then %+v", first.Fetch, second.Fetch)
	}
	if after := l.cursor.position(nil); !reflect.DeepEqual(before, after) || l.fetcher.turn != turn || l.cursor.sweep != asked {
		t.Error("planning changed what it plans from")
	}
	if first.Sweep == nil || !first.Writers || !first.crowded || len(first.Destinations) != 1 || len(first.Lanes)+len(first.Searches) != maxBackfills {
		t.Errorf("planned %+v", first.Fetch)
	}
	l.planned(&first)
	if l.fetcher.turn == turn || l.cursor.sweep == asked || !l.fetcher.nextWriters.After(now) {
		t.Error("what was planned was not noted")
	}
}
