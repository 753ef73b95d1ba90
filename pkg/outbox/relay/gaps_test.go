package relay

import (
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestAGapIsClosedWhenItsWritersHaveEnded(t *testing.T) {
	t.Parallel()
	var g gaps
	first, second := &discovery{}, &discovery{}
	g.add(1, 5, first)
	g.closeEnded([]string{"a", "b"})
	g.add(8, 9, second)
	g.closeEnded([]string{"b", "c"})
	g.closeEnded([]string{"b"})
	if !slices.Equal(g.ranges(), []Range{{1, 5}, {8, 9}}) {
		t.Errorf("while b is open: %v", g.ranges())
	}
	g.seen(3)
	g.closeEnded([]string{"d", "e"})
	if len(g.list) != 0 {
		t.Errorf("while others are open: %v", g.ranges())
	}
	g.add(20, 21, &discovery{})
	if g.closeEnded(nil); len(g.list) != 0 {
		t.Errorf("without a writer at the first look: %v", g.ranges())
	}
}

// Below maxGaps the list is a set of ids.
func TestGapsAreASetOfIDs(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var g gaps
		want := map[int64]bool{}
		id := rapid.Int64Range(1, 60)
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			switch from := id.Draw(t, "id"); rapid.IntRange(0, 5).Draw(t, "step") {
			case 0, 1:
				to := from + rapid.Int64Range(-1, 10).Draw(t, "length")
				g.add(from, to, &discovery{})
				for i := from; i <= to; i++ {
					want[i] = true
				}
			case 2, 3, 4:
				g.seen(from)
				delete(want, from)
			case 5:
				g.cut(from + 20)
				maps.DeleteFunc(want, func(i int64, _ bool) bool { return i > from+20 })
			}
			var got []int64
			for _, r := range g.ranges() {
				for i := r.From; i <= r.To; i++ {
					got = append(got, i)
				}
			}
			if !slices.Equal(got, slices.Sorted(maps.Keys(want))) {
				t.Fatalf("gaps %v, want %v", g.ranges(), slices.Sorted(maps.Keys(want)))
			}
		}
	})
}

// Where many transactions rolled back, neighbours are joined and no id is lost.
func TestGapsAreBounded(t *testing.T) {
	t.Parallel()
	var g gaps
	for i := range int64(3 * maxGaps) {
		g.add(10*i+1, 10*i+2, &discovery{})
	}
	if len(g.list) > maxGaps {
		t.Errorf("%d gaps", len(g.list))
	}
	for i := range int64(3 * maxGaps) {
		if !slices.ContainsFunc(g.ranges(), func(r Range) bool { return r.From <= 10*i+1 && r.To >= 10*i+2 }) {
			t.Fatalf("%d is in no gap", 10*i+1)
		}
	}
}
