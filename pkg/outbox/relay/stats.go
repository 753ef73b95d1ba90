package relay

import (
	"context"
	"log/slog"
	"time"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

const (
	// backlogLimit is the most rows that are counted for a backlog, which takes about 20 ms.
	backlogLimit = 100_000
	// maxLatencies is the most latencies that are kept for one report.
	maxLatencies = 10_000
)

// stats counts what the relay did, and knows when the next report is due.
type stats struct {
	// now has the counts from the last report on, before those from the start of the run to the last report.
	now    Counts
	before Counts
	// latencies has the latencies for the next report, one of each every accepted events. skipped counts the
	// events accepted since the last one whose latency was kept.
	latencies      []time.Duration
	every, skipped int
	// reportAt is when the next report is due. reporting is set while the backlog is counted for one.
	reportAt  time.Time
	reporting bool
	// renewFailing is set from a failed renewal until one succeeds, and withholding from a call withheld for want
	// of a lease until the next call: the first of several in a row is logged, or counted.
	renewFailing bool
	withholding  bool
}

// sent counts a call to a sink with n events, and ends withholding.
func (s *stats) sent(n int) {
	s.now.Batches++
	s.now.BatchEntries += int64(n)
	s.withholding = false
}

// withhold counts that a call was not made for want of a lease. It counts once until the next call is made.
func (s *stats) withhold() {
	if !s.withholding {
		s.withholding = true
		s.now.Withheld++
	}
}

// result counts the result of one event, by its class c. A rejected event is counted by buried instead.
func (s *stats) result(d *destination, c outbox.Class) {
	switch c {
	case outbox.Accepted:
		s.now.Published++
		d.counts.Published++
	case outbox.Transient:
		s.now.Transient++
	case outbox.Throttled:
		s.now.Throttled++
		d.counts.Throttled++
	case outbox.Unknown:
		s.now.Unknown++
	case outbox.Unavailable:
		s.now.Unavailable++
		d.counts.Unavailable++
	case outbox.Rejected:
	}
}

// accepted keeps the latency of an accepted event for the next report; below zero it counts as zero. At
// maxLatencies it drops every second latency, and until the report keeps those of half as many events.
func (s *stats) accepted(latency time.Duration) {
	if s.skipped++; s.skipped < s.every {
		return
	}
	s.skipped = 0
	s.latencies = append(s.latencies, max(0, latency))
	if len(s.latencies) < maxLatencies {
		return
	}
	half := s.latencies[:0]
	for i := 0; i < len(s.latencies); i += 2 {
		half = append(half, s.latencies[i])
	}
	s.latencies = half
	s.every *= 2
}

// buried counts a dead letter of d that was written. block says that it blocked its lane, which is counted too.
func (s *stats) buried(d *destination, block bool) {
	s.now.DeadLetters++
	d.counts.DeadLetters++
	if block {
		s.now.Blocked++
	}
}

// maybeReport starts a report when one is due: it counts the backlog, beside the loop and for at most
// SendTimeout, and then reports. It does nothing without an Observer, at the end of the run, and while the
// count for another report is under way.
func (l *loop) maybeReport(now time.Time) {
	if l.ending || l.stats.reporting || now.Before(l.stats.reportAt) {
		return
	}
	l.stats.reportAt = now.Add(l.cfg.ReportEvery)
	if l.cfg.Observer == nil {
		return
	}
	l.stats.reporting = true
	lows := l.position().Lows
	l.call(func() func() {
		ctx, cancel := context.WithTimeout(l.io, l.cfg.SendTimeout)
		defer cancel()
		backlog, err := l.store.Backlog(ctx, lows, backlogLimit)
		return func() {
			l.stats.reporting = false
			if err != nil {
				l.log.Warn("could not count the backlog", slog.Any("error", err))
			}
			l.stats.report(l, backlog, false)
		}
	})
}

// report gives the Observer, if there is one, what was counted since the last report, with the backlog b, and
// counts anew from now on. final marks the last report of the run.
func (s *stats) report(l *loop, b Backlog, final bool) {
	r := Report{
		Counts:        s.now,
		Latencies:     s.latencies,
		ByDestination: make(map[string]DestinationCounts, len(l.dests)),
		Backlog:       b,
		Shards:        len(l.lease.owned),
		Buffered:      len(l.window.items),
		BufferedBytes: l.window.bytes,
		Gaps:          len(l.cursor.gaps.list),
		Final:         final,
	}
	for _, n := range l.window.busy {
		r.InFlight += n
	}
	for name, d := range l.dests {
		c := d.counts
		c.Concurrency = d.conc.allowed()
		c.LastError = d.lastError
		r.ByDestination[name] = c
		d.total.add(d.counts)
		d.counts = DestinationCounts{}
	}
	s.before.add(s.now)
	s.now = Counts{}
	s.latencies = make([]time.Duration, 0, len(s.latencies))
	s.every, s.skipped = 1, 0
	if l.cfg.Observer != nil {
		l.cfg.Observer.Observe(&r)
	}
}

// summary returns what the whole run did, which started at the time started. It is called after the last report,
// which moves all counts to stats.before and destination.total.
func (l *loop) summary(started time.Time) Summary {
	sum := Summary{
		Outcome:      l.outcome,
		RelayID:      l.cfg.RelayID.String(),
		Seconds:      time.Since(started).Seconds(),
		Counts:       l.stats.before,
		Destinations: make(map[string]DestinationCounts, len(l.dests)),
	}
	for name, d := range l.dests {
		c := d.total
		c.Concurrency = d.conc.allowed()
		c.LastError = d.lastError
		sum.Destinations[name] = c
	}
	return sum
}

// add adds the counts of o to those of c. Concurrency and LastError stay as they are.
func (c *DestinationCounts) add(o DestinationCounts) {
	c.Published += o.Published
	c.DeadLetters += o.DeadLetters
	c.Throttled += o.Throttled
	c.Unavailable += o.Unavailable
}

// add adds the counts of o to those of c.
func (c *Counts) add(o Counts) {
	c.Fetched += o.Fetched
	c.Published += o.Published
	c.Settled += o.Settled
	c.DeadLetters += o.DeadLetters
	c.Blocked += o.Blocked
	c.Transient += o.Transient
	c.Throttled += o.Throttled
	c.Unknown += o.Unknown
	c.Unavailable += o.Unavailable
	c.Batches += o.Batches
	c.BatchEntries += o.BatchEntries
	c.Fetches += o.Fetches
	c.Settles += o.Settles
	c.FetchErrors += o.FetchErrors
	c.SettleErrors += o.SettleErrors
	c.RenewErrors += o.RenewErrors
	c.HandOvers += o.HandOvers
	c.Fenced += o.Fenced
	c.Mismatched += o.Mismatched
	c.Eras += o.Eras
	c.Swallowed += o.Swallowed
	c.Late += o.Late
	c.Strays += o.Strays
	c.Withheld += o.Withheld
	c.NoDestination += o.NoDestination
}
