package relay

import (
	"slices"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

// Bound is for stores: it ends reads early so that the content of all records, whose sizes the function size returns,
// has at most the given number of bytes, Fetch.Bytes. Only the first record may exceed it, so that an event larger than
// that is read too. What is older has the bytes first: the gaps, lanes, destinations, catch-ups, the first scan, the
// sweep. Each read that is ended has its end where the first record is that has no room, and says that there is more.
func (f *Fetched) Bound(bytes int, size func(r *outbox.Record) int) {
	room, first := bytes, true
	fits := func(r *outbox.Record) bool {
		n := size(r)
		if n > room && !first {
			return false
		}
		room, first = room-n, false
		return true
	}
	f.Gaps.bound(fits)
	for i := range f.Lanes {
		f.Lanes[i].bound(fits)
	}
	for i := range f.Destinations {
		f.Destinations[i].bound(fits)
	}
	for i := 1; i < len(f.Scans); i++ {
		f.boundScan(i, fits)
	}
	if len(f.Scans) > 0 {
		f.boundScan(0, fits)
	}
	f.Sweep.bound(fits)
}

// boundScan ends scan i before its first record that does not fit.
func (f *Fetched) boundScan(i int, fits func(r *outbox.Record) bool) {
	at := slices.IndexFunc(f.Scans[i], func(r Row) bool { return r.Record != nil && !fits(r.Record) })
	if at < 0 {
		return
	}
	if f.More == nil {
		f.More = make([]bool, len(f.Scans))
	}
	f.Scans[i], f.More[i] = truncated(f.Scans[i], at), true
}

// bound ends the page before its first record that does not fit.
func (b *Backfilled) bound(fits func(r *outbox.Record) bool) {
	if at := misfit(b.Records, fits); at >= 0 {
		b.Next = b.Records[at].ID
		b.Records = truncated(b.Records, at)
	}
}

// bound ends the page before its first record that does not fit. The first one of the page must fit.
func (g *GapRows) bound(fits func(r *outbox.Record) bool) {
	at := misfit(g.Records, fits)
	if at < 0 {
		return
	}
	id := g.Records[at].ID
	end, _ := slices.BinarySearch(g.IDs, id)
	g.Records = truncated(g.Records, at)
	g.IDs = g.IDs[:end]
	g.Blocked = slices.DeleteFunc(g.Blocked, func(r BlockedRow) bool { return r.ID > id })
	g.Through = g.IDs[end-1]
}

// misfit returns the index of the first record that does not fit, -1 where all do.
func misfit(records []outbox.Record, fits func(r *outbox.Record) bool) int {
	for i := range records {
		if !fits(&records[i]) {
			return i
		}
	}
	return -1
}

// truncated returns the first n elements, and frees what the others refer to.
func truncated[T any](all []T, n int) []T {
	clear(all[n:])
	return all[:n]
}

// more says whether scan i has more rows to bring than it did, where it was asked for limit rows.
func (f *Fetched) more(i, limit int) bool {
	return len(f.Scans[i]) == limit || f.More != nil && f.More[i]
}
