package relay

import (
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestAGapIsReadWhenAWriterEndsAndClosedAfterTheLast(t *testing.T) {
	t.Parallel()
	var g gaps
	look := func(want []Range, open ...string) {
		t.Helper()
		g.note(open)
		if due, ids := g.due(); !slices.Equal(due, want) || (ids == 0) != (len(want) == 0) {
			t.Errorf("with %v open %v are due (%d ids), want %v", open, due, ids, want)
		}
		g.looked()
	}
	g.add(1, 5, &discovery{})
	look([]Range{{1, 5}}, "a", "b")
	g.add(8, 9, &discovery{})
	look([]Range{{1, 5}, {8, 9}}, "b", "c")
	look([]Range{{8, 9}}, "b")
	look(nil, "b", "d")
	if !slices.Equal(g.ranges(), []Range{{1, 5}, {8, 9}}) {
		t.Errorf("while b is open: %v", g.ranges())
	}
	g.seen(3)
	look([]Range{{1, 2}, {4, 5}, {8, 9}}, "d", "e")
	if len(g.list) != 0 {
		t.Errorf("while others are open: %v", g.ranges())
	}
	g.add(20, 21, &discovery{})
	look([]Range{{20, 21}})
	if len(g.list) != 0 {
		t.Errorf("without a writer at the first look: %v", g.ranges())
	}
}

// Gaps that are joined wait for the writers of both, and no longer.
func TestJoinedGapsHaveTheWritersOfBoth(t *testing.T) {
	t.Parallel()
	var g gaps
	joinedAt := int64(1_000)
	g.add(joinedAt, joinedAt, &discovery{writers: map[string]struct{}{"a": {}}})
	g.add(joinedAt+2, joinedAt+2, &discovery{writers: map[string]struct{}{"b": {}}})
	for i := range int64(maxGaps - 1) {
		g.add(2_000+100*i, 2_000+100*i, &discovery{writers: map[string]struct{}{"c": {}}})
	}
	for _, step := range []struct {
		open []string
		due  bool
	}{{[]string{"a", "b", "c"}, false}, {[]string{"b", "c"}, true}, {[]string{"b", "c"}, false}, {[]string{"c"}, true}} {
		g.note(step.open)
		due, _ := g.due()
		if !slices.Equal(due, []Range{{joinedAt, joinedAt + 2}}) && step.due || len(due) != 0 && !step.due {
			t.Errorf("with %v open %v are due", step.open, due)
		}
		g.looked()
	}
	if len(g.list) != maxGaps-1 {
		t.Errorf("%d gaps are left, want those of c", len(g.list))
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
			switch from := id.Draw(t, "id"); rapid.IntRange(0, 4).Draw(t, "step") {
			case 0, 1:
				to := from + rapid.Int64Range(-1, 10).Draw(t, "length")
				g.add(from, to, &discovery{})
				for i := from; i <= to; i++ {
					want[i] = true
				}
			case 2, 3, 4:
				g.seen(from)
				delete(want, from)
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
