package relay

import (
	"testing"
	"time"
)

// A history of 400,000,000 ids with nothing between them is swept in a few
// pages, and one full of remains in pages that hold nobody up.
func TestTheRangeOfASweepFollowsTheTimeOfItsPages(t *testing.T) {
	t.Parallel()
	const head = 400_000_000
	for name, c := range map[string]struct {
		perID     time.Duration
		mostPages int
		mostTook  time.Duration
	}{
		"nothing there": {0, 20, 0},
		// The first page after a quick history may be large: it is halved from there.
		"remains everywhere": {time.Microsecond, head / sweepRange, sweepSlow},
	} {
		s := newSweep(time.Now(), Config{})
		pages, from := 0, int64(1)
		for from <= head && pages <= c.mostPages {
			took := time.Duration(s.span) * c.perID
			if took > c.mostTook {
				t.Errorf("%s: page %d of %d ids took %v", name, pages, s.span, took)
				break
			}
			from += s.span
			s.pace(took, head)
			pages++
		}
		if from <= head {
			t.Errorf("%s: at %d after %d pages", name, from, pages)
		}
	}
	s := sweep{span: 1 << 40}
	for range 30 {
		s.pace(time.Second, head)
	}
	if s.span != sweepRange {
		t.Errorf("the range is %d after slow pages, want %d", s.span, sweepRange)
	}
}
