package relay

import "time"

const (
	// sweepLimit bounds the records of one page of a sweep. Nearly all of them are
	// buffered or deferred.
	sweepLimit = 1_000
	// sweepRange is the least range of ids that one page looks at. A page takes
	// twice the range of the one before when that was quick, and half when it was
	// slow: mostly there is nothing between ids far apart, but while vacuum is
	// held back there are the remains of every event, at 1 µs each.
	sweepRange = 10_000
	sweepQuick = 10 * time.Millisecond
	sweepSlow  = 2 * sweepQuick
	// sweepShare bounds the share of the time that sweeping may take, as one part
	// in so many: where vacuum is held back, a sweep walks the remains of every
	// event sent since.
	sweepShare = 20
)

// sweep reads all unsent rows up to head, a page with a fetch, again and again.
// It finds what gaps cannot: a row whose id was drawn long before its
// transaction began, from a sequence that was given a cache, or a row that was
// put back by hand with the id it had.
type sweep struct {
	// every is the least time between two passes, below 0 for none.
	every time.Duration
	// at is when the next pass is due, began when the one under way began.
	at    time.Time
	began time.Time
	// from is where the pass under way goes on, 0 when there is none.
	from int64
	// span is the range of the next page.
	span int64
}

func newSweep(now time.Time, cfg Config) sweep {
	return sweep{every: cfg.SweepEvery, at: now.Add(cfg.SweepEvery), span: sweepRange}
}

// next returns the page to read now, nil when none is due.
func (s *sweep) next(limit int, now time.Time) *Sweep {
	if s.every < 0 || s.from == 0 && now.Before(s.at) {
		return nil
	}
	from := max(s.from, 1)
	return &Sweep{From: from, Before: from + s.span, Limit: min(limit, sweepLimit)}
}

// asked notes that the page was asked for at the time now.
func (s *sweep) asked(page *Sweep, now time.Time) {
	if s.from == 0 {
		s.from, s.began = page.From, now
	}
}

// swept takes in that a page took so long and that the next one is to begin at
// next. The pass ends above head.
func (s *sweep) swept(next, head int64, took time.Duration, now time.Time) {
	s.pace(took, head)
	if s.from = next; next > head {
		s.from = 0
		s.at = now.Add(max(s.every, sweepShare*now.Sub(s.began)))
	}
}

// pace sets the range of the next page by how long the last one took.
func (s *sweep) pace(took time.Duration, head int64) {
	switch {
	case took <= sweepQuick:
		s.span = min(2*s.span, head+sweepRange)
	case took >= sweepSlow:
		s.span = max(s.span/2, sweepRange)
	}
}
