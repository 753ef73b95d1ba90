package relay

import "time"

const (
	// sweepLimit is the most records of one page of a sweep. Nearly all of them are buffered or deferred already.
	sweepLimit = 1_000
	// sweepRange is the least range of ids that one page looks at. The range doubles after a page that took at
	// most sweepQuick, and halves after one that took sweepSlow or longer. Mostly there is nothing between ids
	// far apart, but while vacuum cannot remove them, the index has an entry of every event that was sent, at 1
	// µs each.
	sweepRange = 10_000
	sweepQuick = 10 * time.Millisecond
	sweepSlow  = 2 * sweepQuick
	// sweepShare bounds the cost: the pause between two passes is at least this many times the duration of the
	// last pass, so that sweeping takes at most a twentieth of the time even where vacuum cannot remove the
	// index entries of sent events.
	sweepShare = 20
)

// sweep reads all unsent rows up to head, a page with a fetch, again and again, and then those with ids that were not
// given. It finds what scans and gaps cannot: a row whose id was drawn long before its transaction began, from a
// sequence that was given a cache, a row that was put back by hand with the id it had, or one with an explicit id.
type sweep struct {
	// every is the least pause between two passes, a pass being one reading of all ids up to head. Negative is
	// for no sweeping at all.
	every time.Duration
	// at is when the next pass is due. began is when the pass under way, or the last one, began.
	at    time.Time
	began time.Time
	// resume is the id at which the pass under way goes on, 0 when no pass is.
	resume int64
	// span is the number of ids that the next page looks at.
	span int64
}

// newSweep returns a sweep whose first pass is due Config.SweepEvery after now.
func newSweep(now time.Time, cfg Config) sweep {
	return sweep{every: cfg.SweepEvery, at: now.Add(cfg.SweepEvery), span: sweepRange}
}

// next returns the page to read now, of at most limit records and at most sweepLimit, or nil when no pass is
// under way or due. The first page of a pass asks for the destinations with unsent rows that are not among names, the
// last one is that of the ids that were not given. next changes nothing: the method asked does.
func (s *sweep) next(names []string, limit int, head int64, now time.Time) *Sweep {
	if s.every < 0 || s.resume == 0 && now.Before(s.at) {
		return nil
	}
	first := max(s.resume, 1)
	page := &Sweep{Destinations: names, From: first, Before: first + s.span, Limit: min(limit, sweepLimit), Unknown: s.resume == 0}
	if s.resume > head {
		page.Before = 0
	}
	return page
}

// asked records that the page is being asked for at the time now, which begins a pass if none is under way.
func (s *sweep) asked(page *Sweep, now time.Time) {
	if s.resume == 0 {
		s.resume, s.began = page.From, now
	}
}

// swept takes in that the page took the time took, and that the next page is to begin at the id next. After the page of
// the ids that were not given the pass has ended, and the next pass is due after every, or after sweepShare times
// the duration of the pass if that is longer.
func (s *sweep) swept(page *Sweep, next, head int64, took time.Duration, now time.Time) {
	s.pace(took, head)
	if s.resume = next; page.Before == 0 {
		s.resume = 0
		s.at = now.Add(max(s.every, sweepShare*now.Sub(s.began)))
	}
}

// pace sets span by the time took of the last page: it doubles after at most sweepQuick, up to sweepRange more
// than head, and halves from sweepSlow on, down to sweepRange.
func (s *sweep) pace(took time.Duration, head int64) {
	switch {
	case took <= sweepQuick:
		s.span = min(2*s.span, head+sweepRange)
	case took >= sweepSlow:
		s.span = max(s.span/2, sweepRange)
	}
}
