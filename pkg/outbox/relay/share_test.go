package relay

import "testing"

func TestSharesOfTheWindowAreLentAndNeverExceedIt(t *testing.T) {
	t.Parallel()
	const window, n = 1_000, 5
	next := shares(window, n)
	var all [n]share
	for i := range all {
		all[i] = next()
	}
	fill := func(s *share) (took int) {
		for !s.full() {
			s.add(1)
			took++
		}
		return took
	}
	if got := fill(&all[0]); got != 350 {
		t.Errorf("the first busy destination buffers %d, want its 100 and half of the 500 to lend", got)
	}
	for i := 1; i < n; i++ {
		if got := fill(&all[i]); got < 100 {
			t.Errorf("destination %d buffers %d beside others that borrow, want at least its own 100", i, got)
		}
	}
	used := 0
	for i := range all {
		used += all[i].used
	}
	if used > window || used < window*9/10 {
		t.Errorf("all together buffer %d of %d", used, window)
	}
	for i := range all {
		all[i].add(-all[i].used)
	}
	if lent := all[0].pool.lent; lent != 0 {
		t.Errorf("%d are lent after all was given back", lent)
	}
	if alone := shares(window, 1)(); alone.limit() != window {
		t.Errorf("a destination alone has %d of %d", alone.limit(), window)
	}
}
