package relay

import (
	"log/slog"
	"time"
)

// readInEra says whether the answer to a fetch may be taken in: it was read in the era that the relay knows, when
// lastID was the highest id that had been given. If not, because of another era, or because ids have come again since
// lastID is below head, a renewal is due now, which tells the era or begins one. Reading goes on after it.
func (l *loop) readInEra(era, lastID int64, now time.Time) bool {
	if era == l.lease.era && lastID >= l.cursor.head {
		return true
	}
	l.fetcher.next = now.Add(l.cfg.PollIdle)
	l.lease.recurred = l.lease.recurred || era == l.lease.era
	l.lease.renewAt = now
	return false
}

// enter takes in the era that the answer to a renewal told. In another era than before the relay starts over.
func (l *loop) enter(got Lease) {
	was := l.lease.era
	if got.Era == was {
		return
	}
	l.lease.era, l.lease.recurred = got.Era, false
	if was == 0 && !got.Begun {
		return
	}
	l.log.Warn("row ids have come again: reading starts over. Commits were lost in a failover, a backup was restored, or the sequence was set back",
		slog.Int64("era", got.Era), slog.Int64("era_before", was),
		slog.Int64("head", l.cursor.head), slog.Int64("last_id", got.LastID))
	l.stats.now.Eras++
	if was != 0 {
		l.startOver()
	}
}

// startOver forgets what was read in an era that is over: where reading stands, what is deferred, and the events that are
// queued. The answer to the renewal names all shards as gained, and their rows are read anew. Events in flight or
// unsettled stay until they are settled: as identities tell them from others, they are found again or they are gone.
func (l *loop) startOver() {
	for _, lane := range l.window.lanes {
		lane.sequence = "" // what was sent may be sent again
		l.empty(lane)
	}
	l.cursor.startOver()
	clear(l.lease.owned)
	clear(l.lease.draining)
	l.fetcher.stale = l.fetcher.running
}

// recur notes that the row ids of n of the items are other events' now. When all items were read in this era, ids have
// come again in it, and a renewal is due now, which begins a new one.
func (l *loop) recur(items []*item, n int, now time.Time) {
	if n == 0 {
		return
	}
	l.stats.now.Mismatched += int64(n)
	l.log.Error("events were not settled: their row ids are other events' now", slog.Int("events", n))
	for _, it := range items {
		if it.rec.Era != l.lease.era {
			return
		}
	}
	l.lease.recurred = true
	l.lease.renewAt = now
}
