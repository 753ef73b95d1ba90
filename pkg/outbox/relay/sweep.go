package relay

import (
	"log/slog"
	"time"
)

const (
	// sweepLimit bounds the records that one page of a sweep brings. Nearly all
	// of them are known.
	sweepLimit = 1_000
	// sweepRange is the least range of ids that one page looks at. A page takes
	// twice the range of the one before when that was quick, and half when it was
	// slow: mostly there is nothing between ids far apart, but while vacuum is
	// held back there are the remains of every event, at 1 µs each.
	sweepRange = 10_000
	sweepQuick = 10 * time.Millisecond
	sweepSlow  = 2 * sweepQuick
	// sweepShare bounds the share of the time that sweeping may take: where
	// vacuum is held back, a sweep walks the remains of every event sent since.
	sweepShare = 20
)

// sweep reads all unsent rows behind the position of reading, a page with a
// fetch, again and again. It finds what gaps cannot: a row whose id was drawn
// long before its transaction began, from a sequence that was given a cache, or
// that somebody put back with the id it had.
type sweep struct {
	every time.Duration
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

// planSweep adds the next page when one is due.
func (l *loop) planSweep(f *plannedFetch, limit int, now time.Time) {
	s := &l.reader.sweep
	if s.every < 0 || s.from == 0 && now.Before(s.at) {
		return
	}
	if s.from == 0 {
		s.from, s.began = 1, now
	}
	f.backfills = append(f.backfills, backfillOf{sweep: true})
	f.Backfills = append(f.Backfills, Backfill{From: s.from, Before: s.from + s.span, Limit: min(limit, sweepLimit)})
}

// takeSweep admits what a page found and nobody knew of, and returns how many
// that were. The page was asked for at the time began.
func (l *loop) takeSweep(next int64, items []*item, began, now time.Time) int {
	s := &l.reader.sweep
	s.pace(now.Sub(began), l.reader.head)
	if s.from = next; next > l.reader.head {
		s.from = 0
		s.at = now.Add(max(s.every, sweepShare*now.Sub(s.began)))
	}
	found := 0
	for _, it := range items {
		if it.rec.ID > l.reader.head {
			break // comes with the scan, in order
		}
		if l.admit(it, fromSweep); it.lane == nil {
			continue
		}
		found++
		l.log.Warn("found an unsent event behind the position: is the cache of outbox.events_id_seq above 1?",
			slog.Int64("id", it.rec.ID), slog.String("event_id", it.rec.EventID.String()))
	}
	l.stats.now.Strays += int64(found)
	return found
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
