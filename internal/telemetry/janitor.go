package telemetry

import (
	"github.com/serverless-outbox/serverless-outbox/internal/janitor"
)

var _ janitor.Observer = (*EMF)(nil)

// ObserveJanitor implements [janitor.Observer]. It writes one line about the run. A line that cannot be written is
// lost.
func (e *EMF) ObserveJanitor(r *janitor.Report) {
	line := e.line(e.now(), e.keys)
	add(line, janitorMetrics(), r)
	codes := make([]string, 0, len(r.Findings))
	for _, f := range r.Findings {
		codes = append(codes, f.Code)
	}
	line.set("FindingCodes", codes)
	e.write(line)
}

// janitorMetrics returns the metrics of a run of the janitor: counts of what it did, and the state at its end.
func janitorMetrics() []metric[janitor.Report] {
	type r = janitor.Report
	return []metric[r]{
		gauge("JanitorHeartbeat", "Count", "1 for every run: alarm on its absence", func(*r) float64 { return 1 }),
		gauge("Findings", "Count", "what should not be as it is; the codes are in the line as FindingCodes", func(r *r) float64 { return float64(len(r.Findings)) }),
		gauge("PartitionsAhead", "Count", "partitions ready above the one in use: alarm below 1", func(r *r) float64 { return float64(r.Health.PartitionsAhead) }),
		gauge("Unsent", "Count", "unsent events, counted up to a limit", func(r *r) float64 { return float64(r.Health.Unsent) }),
		gauge("OldestUnsentAge", "Seconds", "age of the oldest unsent event, of the first of them up to a limit", func(r *r) float64 { return r.Health.OldestSeconds }),
		gauge("EventsBytes", "Bytes", "size of outbox.events on disk", func(r *r) float64 { return float64(r.Health.Bytes) }),
		gauge("ArchiveBytes", "Bytes", "size of outbox.archive on disk", func(r *r) float64 { return float64(r.Health.ArchiveBytes) }),
		gauge("DeadTuples", "Count", "rows of the hot tables that vacuum has yet to remove", func(r *r) float64 { return float64(r.Health.DeadTuples) }),
		count("Behind", "unsent events behind the position of their relay for more than a minute", func(r *r) int64 { return r.Health.Behind }),
		count("Stale", "unsent events older than the alarm age", func(r *r) int64 { return r.Health.Stale }),
		count("DefaultRows", "rows in the default partition of outbox.events", func(r *r) int64 { return r.Health.DefaultRows }),
		count("BlockedAggregates", "aggregates that wait behind a dead letter", func(r *r) int64 { return r.Health.Blocked }),
		measure("BlockedAge", "Seconds", "for how long the first of them has been blocked", func(r *r) float64 { return r.Health.BlockedSeconds }),
		count("DeadLetterRows", "rows of outbox.dead_letters, counted up to a limit", func(r *r) int64 { return r.Health.DeadLetters }),
		measure("DeadLetterAge", "Seconds", "age of the oldest dead letter", func(r *r) float64 { return r.Health.DeadLetterSeconds }),
		measure("XminAge", "Seconds", "for how long the oldest transaction has kept vacuum from its work", func(r *r) float64 {
			if r.Health.Xmin == nil {
				return 0
			}
			return r.Health.Xmin.Seconds
		}),
		count("PartitionsKept", "full partitions that unsent events keep from the archive", func(r *r) int64 { return r.PartitionsKept }),
		count("PartitionsMade", "partitions made ahead", func(r *r) int64 { return r.Made }),
		count("PartitionsArchived", "partitions that went to the archive as a whole", func(r *r) int64 { return r.Archived }),
		count("PartitionsDropped", "partitions that were empty after their rows were moved", func(r *r) int64 { return r.Dropped }),
		count("RowsMoved", "rows that went to the archive one by one", func(r *r) int64 { return r.Moved }),
		measure("LockTime", "Milliseconds", "for how long writers and relays were kept out, in all", func(r *r) float64 { return r.LockedSeconds * 1000 }),
		count("LockRefusals", "steps that were put off because another session used the table", func(r *r) int64 { return r.Locked }),
		count("ArchivePartitionsDropped", "partitions of the archive whose retention had ended", func(r *r) int64 { return r.Expired }),
		count("ArchiveRowsDeleted", "single rows of the archive whose retention had ended", func(r *r) int64 { return r.ExpiredRows }),
		count("RowsExported", "rows written to files before they were removed", func(r *r) int64 { return r.FileRows }),
		measure("BytesExported", "Bytes", "size of these files, compressed", func(r *r) float64 { return float64(r.FileBytes) }),
		count("DeadLettersDeleted", "dead letters whose retention had ended", func(r *r) int64 { return r.DeadLetters }),
		count("More", "1 when the time ended before the work did", func(r *r) int64 {
			if r.More {
				return 1
			}
			return 0
		}),
		count("JanitorErrors", "steps that failed", func(r *r) int64 { return int64(len(r.Errors)) }),
	}
}
