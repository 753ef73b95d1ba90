package stores_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

// writeLarge writes an event of the aggregate with a payload of the given size, which PostgreSQL can compress to
// almost nothing.
func (w *world) writeLarge(t *testing.T, aggregate string, bytes int) int64 {
	t.Helper()
	e := event(aggregate)
	e.Payload = json.RawMessage(`"` + strings.Repeat("x", bytes-2) + `"`)
	tx := w.begin(t)
	id := tx.Enqueue(t, e)
	tx.Commit(t)
	return id
}

// content returns the bytes of the payloads of all records of an answer, and how many records there are.
func content(t *testing.T, got relay.Fetched) (bytes, n int) {
	t.Helper()
	add := func(r *outbox.Record) {
		if len(r.Payload) == 0 {
			t.Errorf("record %d has no payload", r.ID)
		}
		bytes += len(r.Payload)
		n++
	}
	for _, rows := range got.Scans {
		for _, row := range rows {
			if row.Record != nil {
				add(row.Record)
			}
		}
	}
	pages := [][]outbox.Record{got.Sweep.Records, got.Gaps.Records}
	for _, b := range append(got.Destinations, got.Lanes...) {
		pages = append(pages, b.Records)
	}
	for _, p := range pages {
		for i := range p {
			add(&p[i])
		}
	}
	return bytes, n
}

// boundReads reads rows of many sizes by each kind of read, page by page, with each of several bounds.
func boundReads(t *testing.T, w *world) {
	t.Helper()
	var ids []int64
	for i, size := range []int{100_000, 10, 6_000, 4_000, 300_000, 20, 30, 5_000, 70_000, 5_000} {
		ids = append(ids, w.writeLarge(t, fmt.Sprint("a", i%2), size))
	}
	first, last := ids[0], ids[len(ids)-1]
	const limit = 100
	page := func(from int64) relay.Page { return relay.Page{From: from, Limit: limit, Examine: limit} }
	for kind, read := range map[string]func(from int64) (f relay.Fetch, took func(relay.Fetched) (ids []int64, next int64)){
		"scan": func(from int64) (relay.Fetch, func(relay.Fetched) ([]int64, int64)) {
			return relay.Fetch{Scans: []relay.Scan{{After: from - 1, Limit: limit}}}, func(got relay.Fetched) ([]int64, int64) {
				all, mine := rowIDs(got.Scans[0])
				if len(all) != len(mine) {
					t.Errorf("rows %v, records %v", all, mine)
				}
				if got.More == nil || !got.More[0] {
					return all, 0
				}
				return all, all[len(all)-1] + 1
			}
		},
		"destination": func(from int64) (relay.Fetch, func(relay.Fetched) ([]int64, int64)) {
			b := relay.DestinationBackfill{Destination: outbox.DefaultDestination, Page: page(from)}
			return relay.Fetch{Destinations: []relay.DestinationBackfill{b}}, func(got relay.Fetched) ([]int64, int64) {
				return recordIDs(got.Destinations[0].Records), got.Destinations[0].Next
			}
		},
		"sweep": func(from int64) (relay.Fetch, func(relay.Fetched) ([]int64, int64)) {
			return relay.Fetch{Sweep: &relay.Sweep{Destinations: []string{outbox.DefaultDestination}, From: from, Before: last + 1, Limit: limit}}, func(got relay.Fetched) ([]int64, int64) {
				if got.Sweep.Next == last+1 {
					return recordIDs(got.Sweep.Records), 0
				}
				return recordIDs(got.Sweep.Records), got.Sweep.Next
			}
		},
		"gaps": func(from int64) (relay.Fetch, func(relay.Fetched) ([]int64, int64)) {
			return relay.Fetch{Gaps: []relay.Range{{From: from, To: last}}, GapLimit: limit}, func(got relay.Fetched) ([]int64, int64) {
				want(t, "records in gaps", recordIDs(got.Gaps.Records), got.Gaps.IDs...)
				if got.Gaps.Through == 0 {
					return got.Gaps.IDs, 0
				}
				return got.Gaps.IDs, got.Gaps.Through + 1
			}
		},
	} {
		for _, bytes := range []int{1, 4_500, 80_000, 120_000, 1 << 20} {
			var all []int64
			for next, pages := first, 0; next != 0; pages++ {
				f, took := read(next)
				f.Bytes = bytes
				got := w.fetch(t, f)
				if n, records := content(t, got); n > bytes && records != 1 || pages > len(ids) {
					t.Fatalf("%s, page %d of %d bytes: %d records with %d bytes", kind, pages, bytes, records, n)
				}
				var some []int64
				some, next = took(got)
				all = append(all, some...)
			}
			want(t, fmt.Sprintf("%s by %d bytes", kind, bytes), all, ids...)
		}
	}
	// A lane, with rows of another one between its own.
	var lane []int64
	for next, pages := first, 0; next != 0 && pages < 20; pages++ {
		got := w.fetch(t, relay.Fetch{Bytes: 10_000, Lanes: []relay.LaneBackfill{{Lane: laneOf("a0"), Page: page(next)}}}).Lanes[0]
		lane, next = append(lane, recordIDs(got.Records)...), got.Next
	}
	want(t, "lane", lane, ids[0], ids[2], ids[4], ids[6], ids[8])
}

func largerThanBytes(t *testing.T, w *world) {
	t.Helper()
	small, large, other := w.writeLarge(t, "a", 10), w.writeLarge(t, "b", 100_000), w.writeLarge(t, "a", 10)
	f := relay.Fetch{Bytes: 50_000, Scans: []relay.Scan{{After: small, Limit: 10}}}
	got := w.fetch(t, f)
	all, mine := rowIDs(got.Scans[0])
	want(t, "rows", all, large)
	want(t, "records", mine, large)
	if got.More == nil || !got.More[0] {
		t.Error("the answer does not say that there is more")
	}
	if n := len(got.Scans[0][0].Record.Payload); n != 100_000 {
		t.Errorf("payload of %d bytes", n)
	}
	f.Scans[0].After = large
	all, _ = rowIDs(w.fetch(t, f).Scans[0])
	want(t, "the next page", all, other)
}

func withinBytes(t *testing.T, w *world) {
	t.Helper()
	a, b, c := w.writeLarge(t, "a", 20_000), w.writeLarge(t, "b", 20_000), w.writeLarge(t, "a", 20_000)
	got := w.fetch(t, relay.Fetch{Bytes: 100_000, Scans: []relay.Scan{{Limit: 3}, {Limit: 10, After: c}}, Gaps: []relay.Range{{From: c + 1, To: c + 9}}, GapLimit: 10})
	_, mine := rowIDs(got.Scans[0])
	want(t, "records", mine, a, b, c)
	if got.More != nil || got.Gaps.Through != 0 {
		t.Errorf("more %v, gaps through %d", got.More, got.Gaps.Through)
	}
}

func olderFirst(t *testing.T, w *world) {
	t.Helper()
	a, b := w.writeLarge(t, "a", 20_000), w.writeLarge(t, "b", 20_000)
	page := relay.Page{From: 1, Limit: 10, Examine: 10}
	f := relay.Fetch{
		Bytes: 30_000, GapLimit: 10,
		Scans:        []relay.Scan{{Limit: 10}, {Limit: 10}},
		Destinations: []relay.DestinationBackfill{{Destination: outbox.DefaultDestination, Page: page}},
		Lanes:        []relay.LaneBackfill{{Lane: laneOf("b"), Page: page}},
		Sweep:        &relay.Sweep{Destinations: []string{outbox.DefaultDestination}, From: 1, Before: b + 1, Limit: 10},
		Gaps:         []relay.Range{{From: a, To: b}},
	}
	got := w.fetch(t, f)
	want(t, "gaps", got.Gaps.IDs, a)
	if got.Gaps.Through != a || len(got.Scans[0])+len(got.Scans[1]) != 0 || !got.More[0] || !got.More[1] ||
		got.Destinations[0].Next != a || got.Lanes[0].Next != b || got.Sweep.Next != a {
		t.Errorf("answer = %+v", got)
	}
	f.Gaps = nil
	got = w.fetch(t, f)
	want(t, "lane", recordIDs(got.Lanes[0].Records), b)
	if len(got.Destinations[0].Records) != 0 || got.Destinations[0].Next != a {
		t.Errorf("destination = %+v", got.Destinations[0])
	}
}
