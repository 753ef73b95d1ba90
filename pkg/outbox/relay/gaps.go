package relay

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"sort"
)

// maxGaps is the most ranges in a list of gaps. Above it neighbours are joined, so that looking for late rows
// costs the same however many transactions rolled back.
const maxGaps = 512

// gaps is the list of ids that were not visible when higher ones were read. A transaction that drew one of
// these ids may still commit. An id leaves the list when its row is seen, or when every writer at discovery has
// ended and a later look found nothing: then its transaction was rolled back. No clock is involved.
type gaps struct {
	// list has the ranges in order of id. None overlaps another.
	list []gap
}

// gap is a range of ids, and the reading that found it.
type gap struct {
	Range
	found *discovery
}

// discovery is one reading that found gaps. All gaps that it found share this value, and so have the same
// writers at discovery.
type discovery struct {
	// writers are the transactions that may fill the gaps and have not ended: of those that were open when a later
	// fetch, whenever that was, first asked for the open transactions. A writer that ended before that has committed or
	// rolled back, and a later read of the gaps sees what it committed. Nil until then; empty means that none is open.
	writers map[string]struct{}
	// due is set when a writer has ended, or the writers were first asked for, and the gaps were not read since.
	due bool
}

// add inserts the ids first to last, both included, as gaps of the discovery found. Ids that are in the list
// already keep the discovery that they have. It does nothing when first is above last, and joins ranges when
// there are more than maxGaps.
func (g *gaps) add(first, last int64, found *discovery) {
	if first > last {
		return
	}
	at := sort.Search(len(g.list), func(i int) bool { return g.list[i].To >= first })
	if at == len(g.list) || g.list[at].From > last {
		g.list = slices.Insert(g.list, at, gap{Range{first, last}, found})
		g.bound()
		return
	}
	// Overlap: fill in around what is there.
	if head := g.list[at]; first < head.From {
		g.add(first, head.From-1, found)
		g.add(head.From, last, found)
		return
	}
	g.add(g.list[at].To+1, last, found)
}

// seen takes an id out of the list because its row was found, and does nothing if it is not in the list. In the
// middle of a range it stays when the list has maxGaps ranges, as taking it out would make one more.
func (g *gaps) seen(id int64) {
	at := sort.Search(len(g.list), func(i int) bool { return g.list[i].To >= id })
	if at == len(g.list) || g.list[at].From > id {
		return
	}
	hit := g.list[at]
	switch {
	case hit.From == hit.To:
		g.list = slices.Delete(g.list, at, at+1)
	case id == hit.From:
		g.list[at].From++
	case id == hit.To:
		g.list[at].To--
	case len(g.list) >= maxGaps:
		// Splitting would undo what bound joined. The range stays whole until its writers have ended.
	default:
		g.list[at].To = id - 1
		g.list = slices.Insert(g.list, at+1, gap{Range{id + 1, hit.To}, hit.found})
	}
}

// note takes in the transactions that are open now: it takes those that ended from the writers of each discovery, and
// makes the discoveries due that had them. The gaps that are due are to be read after writers were, and then looked is
// to be called.
func (g *gaps) note(writers []string) {
	open := make(map[string]struct{}, len(writers))
	for _, w := range writers {
		open[w] = struct{}{}
	}
	noted := map[*discovery]bool{}
	for _, x := range g.list {
		if !noted[x.found] {
			noted[x.found] = true
			x.found.note(open)
		}
	}
}

// note takes in the transactions that are open now, as gaps.note says.
func (d *discovery) note(open map[string]struct{}) {
	if d.writers == nil {
		d.writers, d.due = maps.Clone(open), true
		return
	}
	for w := range d.writers {
		if _, still := open[w]; !still {
			delete(d.writers, w)
			d.due = true
		}
	}
}

// lookAgain makes all gaps due: those that were read for the shards owned then may have rows of shards gained since.
func (g *gaps) lookAgain() {
	for _, x := range g.list {
		x.found.due = true
	}
}

// due returns the gaps that are to be read, because a writer of them has ended, and the number of their ids.
func (g *gaps) due() (ranges []Range, ids int64) {
	for _, x := range g.list {
		if x.found.due {
			ranges = append(ranges, x.Range)
			ids += x.To - x.From + 1
		}
	}
	return ranges, ids
}

// looked records that the gaps that were due have been read, and removes those without a writer: their transactions
// have been rolled back, as the rows found were removed with seen.
func (g *gaps) looked() {
	for _, x := range g.list {
		x.found.due = false
	}
	g.list = slices.DeleteFunc(g.list, func(x gap) bool { return x.found.writers != nil && len(x.found.writers) == 0 })
}

// ids returns the number of ids in the list.
func (g *gaps) ids() (n int64) {
	for _, x := range g.list {
		n += x.To - x.From + 1
	}
	return n
}

// ranges returns a copy of the list, without the discoveries, for Fetch.Gaps.
func (g *gaps) ranges() []Range {
	out := make([]Range, len(g.list))
	for i := range g.list {
		out[i] = g.list[i].Range
	}
	return out
}

// upTo returns the gaps of the list up to the id, which is included, as ranges.
func (g *gaps) upTo(id int64) []Range {
	var out []Range
	for _, x := range g.list {
		if x.From > id {
			break
		}
		out = append(out, Range{x.From, min(x.To, id)})
	}
	return out
}

// joined sorts ranges by their first ids, in place, and returns them with those that overlap joined.
func joined(ranges []Range) []Range {
	slices.SortFunc(ranges, func(a, b Range) int { return cmp.Compare(a.From, b.From) })
	var out []Range
	for _, r := range ranges {
		if n := len(out); n > 0 && r.From <= out[n-1].To {
			out[n-1].To = max(out[n-1].To, r.To)
			continue
		}
		out = append(out, r)
	}
	return out
}

// bound shortens the list to maxGaps by joining the ranges that are nearest to each other. A joined range also
// has the ids between the two, whose rows are known: reading these again is harmless. It has the writers of both.
func (g *gaps) bound() {
	for len(g.list) > maxGaps {
		best, width := 0, int64(math.MaxInt64)
		for i := range len(g.list) - 1 {
			if d := g.list[i+1].From - g.list[i].To; d < width {
				best, width = i, d
			}
		}
		g.list[best].To = g.list[best+1].To
		g.list[best].found = g.list[best].found.joined(g.list[best+1].found)
		g.list = slices.Delete(g.list, best+1, best+2)
	}
}

// joined returns a discovery for a range that has gaps of both d and other.
func (d *discovery) joined(other *discovery) *discovery {
	switch {
	case d == other:
		return d
	case d.writers == nil || other.writers == nil:
		return &discovery{} // the writers are asked for anew, and the range is read
	}
	both := &discovery{writers: maps.Clone(d.writers), due: d.due || other.due}
	maps.Copy(both.writers, other.writers)
	return both
}
