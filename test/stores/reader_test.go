package stores_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

func readerTests() map[string]func(*testing.T, *world) {
	return map[string]func(*testing.T, *world){
		"a scan brings rows in order, up to its limit":           scanning,
		"a record is what was written":                           recordWritten,
		"rows of other shards and sent rows come without record": othersRows,
		"rows of open transactions are not there":                openTransactions,
		"a backfill reads a lane or a destination":               backfilling,
		"a backfill goes on where it stopped":                    backfillPages,
		"a search finds the first row of a lane":                 searching,
		"a page of a sweep ends at an id":                        sweepPages,
		"a page of a backfill ends at an id":                     backfillsEnd,
		"unknown destinations are named":                         unknownDestinations,
		"gaps bring rows and ids, a page at a time":              gapPages,
		"writers are named while they are open":                  writers,
		"bytes end every kind of read, and none is missed":       boundReads,
		"an event larger than the bytes comes alone":             largerThanBytes,
		"small rows are read to the end within the bytes":        withinBytes,
		"what is older has the bytes first":                      olderFirst,
		"a backlog is counted up to its limit":                   backlog,
	}
}

func scanning(t *testing.T, w *world) {
	t.Helper()
	a, b, c := w.write(t, "a"), w.write(t, "b"), w.writeTo(t, "other", "a")
	got := w.fetch(t, relay.Fetch{Scans: []relay.Scan{{Limit: 10}, {Limit: 2}, {After: b, Limit: 10}, {After: c, Limit: 10}}})
	for i, ids := range [][]int64{{a, b, c}, {a, b}, {c}, nil} {
		all, mine := rowIDs(got.Scans[i])
		want(t, "ids of a scan", all, ids...)
		want(t, "records of a scan", mine, ids...)
	}
}

func recordWritten(t *testing.T, w *world) {
	t.Helper()
	e := event("a")
	e.Headers = map[string]string{"k": "v"}
	tx := w.begin(t)
	id := tx.Enqueue(t, e)
	tx.Commit(t)
	got := w.fetch(t, relay.Fetch{Scans: []relay.Scan{{Limit: 1}}}).Scans[0][0].Record
	if got.ID != id || got.EventID != e.EventID || got.Lane() != laneOf("a") || got.Type != e.Type || string(got.Payload) != string(e.Payload) ||
		got.Headers["k"] != "v" || got.CreatedAt.IsZero() || got.Replays != 0 || got.Shard < 0 || got.Shard >= outbox.Shards {
		t.Errorf("record = %+v", got)
	}
}

func othersRows(t *testing.T, w *world) {
	t.Helper()
	id := w.owner(t)
	a, b, sent := w.write(t, "a"), w.write(t, "b"), w.write(t, "b")
	w.settle(t, id, accept(sent))
	records := w.fetch(t, relay.Fetch{Scans: []relay.Scan{{Limit: 10}}}).Scans[0]
	mine := records[0].Record.Shard
	others := slices.DeleteFunc(shards(0, outbox.Shards), func(n int) bool { return n == mine })
	f := relay.Fetch{
		Shards:       others,
		Scans:        []relay.Scan{{Limit: 10}, {Limit: 10, Shards: []int{mine}}},
		Destinations: []relay.DestinationBackfill{{Destination: outbox.DefaultDestination, Page: relay.Page{From: 1, Limit: 10, Examine: 10}}},
		Searches:     []relay.LaneSearch{{Lane: laneOf("a"), From: 1, Examine: 10}},
		Sweep:        &relay.Sweep{Destinations: []string{outbox.DefaultDestination}, From: 1, Before: sent + 1, Limit: 10},
		Gaps:         []relay.Range{{From: a, To: sent}},
	}
	got := w.fetch(t, f)
	wantMine := []int64(nil)
	if records[1].Record.Shard != mine {
		wantMine = []int64{b}
	}
	all, theirs := rowIDs(got.Scans[0])
	want(t, "ids", all, a, b, sent)
	want(t, "records", theirs, wantMine...)
	all, own := rowIDs(got.Scans[1])
	want(t, "ids of a scan of one shard", all, a, b, sent)
	if len(own) == 0 || own[0] != a {
		t.Errorf("records of a scan of one shard = %v", own)
	}
	want(t, "backfill", recordIDs(got.Destinations[0].Records), wantMine...)
	want(t, "search", []int64{got.Searches[0].First}, 0)
	want(t, "sweep", recordIDs(got.Sweep.Records), wantMine...)
	want(t, "ids in gaps", got.Gaps.IDs, a, b, sent)
	want(t, "records in gaps", recordIDs(got.Gaps.Records), wantMine...)
}

func openTransactions(t *testing.T, w *world) {
	t.Helper()
	open, gone := w.begin(t), w.begin(t)
	late := open.Enqueue(t, event("a"))
	gone.Enqueue(t, event("a"))
	gone.Rollback(t)
	last := w.write(t, "a")
	f := relay.Fetch{Scans: []relay.Scan{{Limit: 10}}, Gaps: []relay.Range{{From: late, To: last - 1}}}
	got := w.fetch(t, f)
	all, _ := rowIDs(got.Scans[0])
	want(t, "scan while it is open", all, last)
	want(t, "gaps while it is open", got.Gaps.IDs)
	open.Commit(t)
	got = w.fetch(t, f)
	all, _ = rowIDs(got.Scans[0])
	want(t, "scan after the commit", all, late, last)
	want(t, "gaps after the commit", recordIDs(got.Gaps.Records), late)
}

func backfilling(t *testing.T, w *world) {
	t.Helper()
	id := w.owner(t)
	a1, b1, o1, sent, a2 := w.write(t, "a"), w.write(t, "b"), w.writeTo(t, "other", "a"), w.write(t, "a"), w.write(t, "a")
	w.settle(t, id, accept(sent))
	page := func(from int64) relay.Page { return relay.Page{From: from, Limit: 10, Examine: 100} }
	got := w.fetch(t, relay.Fetch{
		Destinations: []relay.DestinationBackfill{{Destination: "other", Page: page(1)}, {Destination: outbox.DefaultDestination, Page: page(1)}},
		Lanes:        []relay.LaneBackfill{{Lane: laneOf("a"), Page: page(1)}, {Lane: laneOf("a"), Page: page(a1 + 1)}},
	})
	for i, ids := range [][]int64{{o1}, {a1, b1, a2}, {a1, a2}, {a2}} {
		b := slices.Concat(got.Destinations, got.Lanes)[i]
		want(t, "backfill", recordIDs(b.Records), ids...)
		if b.Next != 0 {
			t.Errorf("backfill %d goes on at %d", i, b.Next)
		}
	}
}

// searching looks for the lowest unsent row of a lane, in as many pages as it
// takes.
func searching(t *testing.T, w *world) {
	t.Helper()
	id := w.owner(t)
	sent := w.write(t, "a")
	for range 5 {
		w.write(t, "b")
	}
	first, _ := w.write(t, "a"), w.write(t, "a")
	w.settle(t, id, accept(sent))
	for _, c := range []struct {
		lane    string
		examine int
		first   int64
	}{{"a", 100, first}, {"a", 3, first}, {"a", 1, first}, {"c", 100, 0}, {"c", 2, 0}} {
		search := relay.LaneSearch{Lane: laneOf(c.lane), From: 1, Examine: c.examine}
		var got relay.LaneStart
		for pages := 0; search.From != 0 && pages < 20; pages++ {
			got = w.fetch(t, relay.Fetch{Searches: []relay.LaneSearch{search}}).Searches[0]
			if got.Next != 0 && (got.First != 0 || got.Next <= search.From) {
				t.Fatalf("after %d: %+v", search.From, got)
			}
			search.From = got.Next
		}
		if got.First != c.first || search.From != 0 {
			t.Errorf("%+v: %+v", c, got)
		}
	}
}

// sweepPages are bounded by ids, and by the limit.
func sweepPages(t *testing.T, w *world) {
	t.Helper()
	id := w.owner(t)
	a1, b1, o1, sent, a2 := w.write(t, "a"), w.write(t, "b"), w.writeTo(t, "other", "a"), w.write(t, "a"), w.write(t, "a")
	w.settle(t, id, accept(sent))
	for i, c := range []struct {
		page relay.Sweep
		next int64
		ids  []int64
	}{
		{relay.Sweep{From: 1, Before: a2, Limit: 10}, a2, []int64{a1, b1, o1}},
		{relay.Sweep{From: 1, Before: a2, Limit: 2}, b1 + 1, []int64{a1, b1}},
		{relay.Sweep{From: sent, Before: a2 + 1000, Limit: 10}, a2 + 1000, []int64{a2}},
		{relay.Sweep{From: a2 + 1, Before: a2 + 1000, Limit: 10}, a2 + 1000, nil},
	} {
		c.page.Destinations = []string{outbox.DefaultDestination, "other"}
		got := w.fetch(t, relay.Fetch{Sweep: &c.page}).Sweep
		want(t, "sweep", recordIDs(got.Records), c.ids...)
		if got.Next != c.next {
			t.Errorf("page %d goes on at %d, want %d", i, got.Next, c.next)
		}
	}
}

// unknownDestinations are those of unsent rows that the sweep does not name.
func unknownDestinations(t *testing.T, w *world) {
	t.Helper()
	id := w.owner(t)
	w.write(t, "a")
	o1, _, sent, z := w.writeTo(t, "other", "a"), w.writeTo(t, "other", "b"), w.writeTo(t, "gone", "a"), w.writeTo(t, "zulu", "a")
	w.settle(t, id, accept(sent))
	for _, c := range []struct {
		known []string
		found []relay.UnknownDestination
	}{
		{[]string{outbox.DefaultDestination}, []relay.UnknownDestination{{Name: "other", FirstID: o1, Events: 2}, {Name: "zulu", FirstID: z, Events: 1}}},
		{[]string{"zulu", outbox.DefaultDestination}, []relay.UnknownDestination{{Name: "other", FirstID: o1, Events: 2}}},
		{[]string{"zulu", outbox.DefaultDestination, "more", "other"}, nil},
	} {
		got := w.fetch(t, relay.Fetch{Sweep: &relay.Sweep{Destinations: c.known, From: 1, Before: z + 1, Limit: 10, Unknown: true}})
		slices.SortFunc(got.Unknown, func(a, b relay.UnknownDestination) int { return strings.Compare(a.Name, b.Name) })
		if !slices.Equal(got.Unknown, c.found) {
			t.Errorf("beside %v: %+v, want %+v", c.known, got.Unknown, c.found)
		}
		for _, r := range got.Sweep.Records {
			if !slices.Contains(c.known, r.Destination) {
				t.Errorf("a sweep of %v brings event %d of %s", c.known, r.ID, r.Destination)
			}
		}
	}
	if got, err := w.store.Backlog(t.Context(), map[string]int64{outbox.DefaultDestination: z, "zulu": 0}, 10); err != nil || got.Pending != 3 {
		t.Errorf("backlog = %+v, %v, want the 3 events of other and zulu", got, err)
	}
}

// backfillsEnd at the id that bounds the page.
func backfillsEnd(t *testing.T, w *world) {
	t.Helper()
	a1, _, a2 := w.write(t, "a"), w.write(t, "b"), w.write(t, "a")
	page := relay.Page{From: a1, Before: a2, Limit: 10, Examine: 10}
	got := w.fetch(t, relay.Fetch{
		Destinations: []relay.DestinationBackfill{{Destination: outbox.DefaultDestination, Page: page}},
		Lanes:        []relay.LaneBackfill{{Lane: laneOf("a"), Page: page}},
	})
	want(t, "destination", recordIDs(got.Destinations[0].Records), a1, a2-1)
	want(t, "lane", recordIDs(got.Lanes[0].Records), a1)
	if got.Destinations[0].Next != a2 || got.Lanes[0].Next != a2 {
		t.Errorf("backfills go on at %d and %d, want %d", got.Destinations[0].Next, got.Lanes[0].Next, a2)
	}
}

func backfillPages(t *testing.T, w *world) {
	t.Helper()
	var ids []int64
	for range 6 {
		w.write(t, "b")
		ids = append(ids, w.write(t, "a"))
	}
	for _, c := range []struct{ limit, examine int }{{100, 100}, {2, 100}, {100, 3}, {2, 3}, {1, 1}} {
		var found []int64
		b := relay.LaneBackfill{Lane: laneOf("a"), Page: relay.Page{From: 1, Limit: c.limit, Examine: c.examine}}
		for pages := 0; b.From != 0 && pages < 20; pages++ {
			got := w.fetch(t, relay.Fetch{Lanes: []relay.LaneBackfill{b}}).Lanes[0]
			if len(got.Records) > c.limit {
				t.Errorf("%d records with a limit of %d", len(got.Records), c.limit)
			}
			if got.Next != 0 && got.Next <= b.From {
				t.Fatalf("it goes on at %d after %d", got.Next, b.From)
			}
			found = append(found, recordIDs(got.Records)...)
			b.From = got.Next
		}
		want(t, "all pages", found, ids...)
	}
}

func gapPages(t *testing.T, w *world) {
	t.Helper()
	id := w.owner(t)
	var ids []int64
	for range 6 {
		ids = append(ids, w.write(t, "a"))
	}
	w.settle(t, id, accept(ids[1]))
	got := w.fetch(t, relay.Fetch{Gaps: []relay.Range{{From: ids[0], To: ids[2]}, {From: ids[4], To: ids[5] + 100}}})
	want(t, "seen", got.Gaps.IDs, ids[0], ids[1], ids[2], ids[4], ids[5])
	want(t, "found", recordIDs(got.Gaps.Records), ids[0], ids[2], ids[4], ids[5])
	if got.Gaps.Through != 0 {
		t.Errorf("through = %d without more", got.Gaps.Through)
	}
	got = w.fetch(t, relay.Fetch{GapLimit: 3, Gaps: []relay.Range{{From: ids[0], To: ids[5]}}})
	want(t, "first page", got.Gaps.IDs, ids[:3]...)
	if got.Gaps.Through != ids[2] {
		t.Errorf("through = %d, want %d", got.Gaps.Through, ids[2])
	}
	got = w.fetch(t, relay.Fetch{GapLimit: 3, Gaps: []relay.Range{{From: ids[2] + 1, To: ids[5]}}})
	want(t, "second page", got.Gaps.IDs, ids[3:]...)
	if got.Gaps.Through != 0 {
		t.Errorf("through = %d at the end", got.Gaps.Through)
	}
}

func writers(t *testing.T, w *world) {
	t.Helper()
	f := relay.Fetch{Writers: true, Gaps: []relay.Range{{From: 1, To: 100}}}
	first, second := w.begin(t), w.begin(t)
	first.Enqueue(t, event("a"))
	before := w.fetch(t, f).Writers
	second.Enqueue(t, event("a"))
	both := w.fetch(t, f).Writers
	if len(before) != 1 || len(both) != 2 || !slices.Contains(both, before[0]) {
		t.Errorf("writers = %v, then %v", before, both)
	}
	first.Rollback(t)
	after := w.fetch(t, f).Writers
	if len(after) != 1 || after[0] == before[0] {
		t.Errorf("writers = %v after %v has ended", after, before)
	}
	second.Commit(t)
	if got := w.fetch(t, f).Writers; len(got) != 0 {
		t.Errorf("writers = %v when all have ended", got)
	}
}

func backlog(t *testing.T, w *world) {
	t.Helper()
	id := w.owner(t)
	first, sent, _ := w.write(t, "a"), w.write(t, "a"), w.write(t, "b")
	w.settle(t, id, accept(sent))
	for _, c := range []struct {
		low   int64
		limit int
		want  int
	}{{0, 10, 2}, {0, 1, 1}, {first, 10, 1}, {first + 100, 10, 0}} {
		got, err := w.store.Backlog(t.Context(), map[string]int64{outbox.DefaultDestination: c.low}, c.limit)
		if err != nil || got.Pending != c.want || got.Oldest < 0 {
			t.Errorf("backlog above %d up to %d = %+v, %v, want %d pending", c.low, c.limit, got, err, c.want)
		}
	}
}
