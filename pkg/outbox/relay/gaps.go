package relay

import (
	"cmp"
	"math"
	"slices"
	"sort"
)

// maxGaps bounds the ranges in a gap list. Above it neighbours are joined, so
// that looking for late rows costs the same however many transactions rolled
// back.
const maxGaps = 512

// gaps is the list of ids that were not visible when higher ones were read. A
// transaction that drew one of them may still commit. An id leaves the list
// when its row is seen, or when every transaction that was writing when the gap
// was found has ended and a later look found nothing: then it was rolled back.
// No clock is involved.
type gaps struct {
	list []gap // sorted, disjoint
}

type gap struct {
	Range
	cohort *cohort
}

// cohort is what the gaps found in one reading wait for.
type cohort struct {
	// writers is nil until they were looked up for the first time, which may be
	// any time after the gap was found: a writer that ended before was visible
	// to every look since.
	writers map[string]struct{}
}

// add inserts the ids from..to that are not in the list yet.
func (g *gaps) add(from, to int64, c *cohort) {
	if from > to {
		return
	}
	at := sort.Search(len(g.list), func(i int) bool { return g.list[i].To >= from })
	if at == len(g.list) || g.list[at].From > to {
		g.list = slices.Insert(g.list, at, gap{Range{from, to}, c})
		g.bound()
		return
	}
	// Overlap: fill in around what is there.
	if head := g.list[at]; from < head.From {
		g.add(from, head.From-1, c)
		g.add(head.From, to, c)
		return
	}
	g.add(g.list[at].To+1, to, c)
}

// seen removes one id.
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
		// Splitting would undo what bound joined. The range stays whole until
		// its writers have ended.
	default:
		g.list[at].To = id - 1
		g.list = slices.Insert(g.list, at+1, gap{Range{id + 1, hit.To}, hit.cohort})
	}
}

// ended removes the gaps whose writers have all ended. It may only be called
// after the rows found in a look that came after the writers were read have
// been removed with seen.
func (g *gaps) ended(writers []string) {
	now := make(map[string]struct{}, len(writers))
	for _, w := range writers {
		now[w] = struct{}{}
	}
	done := map[*cohort]bool{}
	g.list = slices.DeleteFunc(g.list, func(x gap) bool {
		over, known := done[x.cohort]
		if !known {
			over = x.cohort.over(now)
			done[x.cohort] = over
		}
		return over
	})
}

func (c *cohort) over(now map[string]struct{}) bool {
	if c.writers == nil {
		c.writers = now
		return len(now) == 0
	}
	for w := range c.writers {
		if _, open := now[w]; open {
			return false
		}
	}
	return true
}

// ranges returns the list, to be asked for.
func (g *gaps) ranges() []Range {
	out := make([]Range, len(g.list))
	for i := range g.list {
		out[i] = g.list[i].Range
	}
	return out
}

// upTo returns the ranges at or below id.
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

// joined sorts ranges and joins those that overlap.
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

// bound joins the nearest neighbours until the list is short enough. The joined
// range also covers rows that are known; reading those again is harmless.
func (g *gaps) bound() {
	for len(g.list) > maxGaps {
		best, width := 0, int64(math.MaxInt64)
		for i := range len(g.list) - 1 {
			if d := g.list[i+1].From - g.list[i].To; d < width {
				best, width = i, d
			}
		}
		g.list[best].To = g.list[best+1].To
		g.list[best].cohort = &cohort{}
		g.list = slices.Delete(g.list, best+1, best+2)
	}
}
