package janitor

import (
	"fmt"
	"time"
)

// Health is the state of the outbox at the end of a run. Counts of events and dead letters stop at 10,000, so that their
// cost is bounded, and the oldest is then that of the 10,000 with the lowest ids.
type Health struct {
	// Now is the time by the database's clock. LastRun is when the run before this one ended, nil before the first.
	Now     time.Time  `json:"now"`
	LastRun *time.Time `json:"last_run"`
	// PartitionsAhead is the number of partitions of outbox.events that are ready above the one in use, -1 when the
	// one in use is missing.
	PartitionsAhead   int64 `json:"partitions_ahead"`
	EventsPartitions  int64 `json:"events_partitions"`
	ArchivePartitions int64 `json:"archive_partitions"`
	// Unsent counts unsent events, and OldestSeconds is the age of the oldest. Stale counts those older than AlarmAge.
	// Behind counts those that only a sweep finds: older than a minute, behind the position of their shard, in no gap,
	// and not of a blocked lane.
	Unsent        int64   `json:"unsent"`
	Behind        int64   `json:"behind"`
	Stale         int64   `json:"stale"`
	OldestSeconds float64 `json:"oldest_seconds"`
	// DefaultRows counts the rows of outbox.events_default, and ArchiveDefaultRows those of outbox.archive_default,
	// each up to 10,000.
	DefaultRows        int64 `json:"default_rows"`
	ArchiveDefaultRows int64 `json:"archive_default_rows"`
	// Blocked counts all blocked lanes that were not released, and BlockedSeconds is the longest time for which one of
	// them has been blocked.
	Blocked        int64   `json:"blocked"`
	BlockedSeconds float64 `json:"blocked_seconds"`
	// DeadLetters counts dead letters, and DeadLetterSeconds is how long ago the first of them was given up.
	DeadLetters       int64   `json:"dead_letters"`
	DeadLetterSeconds float64 `json:"dead_letter_seconds"`
	// DeadTuples and LiveTuples are PostgreSQL's estimates of the dead and live rows of outbox.events, outbox.shards and
	// outbox.relays. LastAutovacuum is when autovacuum last ran on a partition of outbox.events, nil when it never did.
	DeadTuples     int64      `json:"dead_tuples"`
	LiveTuples     int64      `json:"live_tuples"`
	LastAutovacuum *time.Time `json:"last_autovacuum"`
	// Bytes and ArchiveBytes are the sizes of outbox.events and outbox.archive on disk, with indexes.
	Bytes        int64 `json:"bytes"`
	ArchiveBytes int64 `json:"archive_bytes"`
	// Xmin is the transaction or the replication slot that keeps vacuum from removing most dead rows. It is nil when
	// there is none. The owner of the schema needs the role pg_read_all_stats to see the transactions of other roles.
	Xmin *XminHolder `json:"xmin"`
}

// XminHolder is a transaction or a replication slot. Rows that became dead after its beginning cannot be removed
// by vacuum while it lasts.
type XminHolder struct {
	// Kind is transaction (also for what a standby reads), prepared transaction or replication slot.
	Kind string `json:"kind"`
	// Who is the process, user, application and state of a transaction, or the name of a prepared transaction or slot.
	Who string `json:"who"`
	// Transactions is the age of what the holder keeps, in transactions that have written since. Seconds is how long
	// ago the holder began, 0 for a replication slot and for a standby.
	Transactions int64   `json:"transactions"`
	Seconds      float64 `json:"seconds"`
}

// Finding is something in the state of the outbox that an operator should look at.
type Finding struct {
	// Code is a word that programs can compare, and Message a sentence for people.
	Code    string `json:"code"`
	Message string `json:"message"`
}

const (
	// manyDead is the number of dead rows above which autovacuum is late: four times its threshold for the partitions
	// of outbox.events.
	manyDead = 80_000
	// longXmin is how long a transaction may keep vacuum from removing rows before that is a finding.
	longXmin = 10 * time.Minute
	// manyPartitions is the number of archive partitions above which a lookup by event id, which locks four relations
	// of each, may need a larger max_locks_per_transaction.
	manyPartitions = 500
	// countLimit is the number at which the counts of Health stop.
	countLimit = 10_000
)

// findings returns what an operator should look at in the health h, an empty list when there is nothing.
// partitionsKept and rowsKept are those of the Report. Findings are: a Behind, Stale, DefaultRows, ArchiveDefaultRows,
// Blocked, DeadLetters, partitionsKept or rowsKept above zero; no partition ahead; more than manyPartitions in the archive; more than
// manyDead dead rows that are also more than a fifth of the live ones; and an XminHolder older than longXmin, or one
// that is no plain transaction and has Transactions above a million.
func findings(h *Health, partitionsKept, rowsKept int64, c *Config) []Finding {
	found := []Finding{}
	add := func(is bool, code, format string, args ...any) {
		if is {
			found = append(found, Finding{Code: code, Message: fmt.Sprintf(format, args...)})
		}
	}
	add(h.Behind > 0, "unsent_behind_position",
		"%d unsent events lie behind the position of their relay: a sweep of a running relay finds them", h.Behind)
	add(h.Stale > 0, "stale", "%d unsent events are older than %v, the oldest %.0f s: see outbox status", h.Stale, c.AlarmAge, h.OldestSeconds)
	add(h.DefaultRows > 0, "default_partition",
		"%d rows are in outbox.events_default: partitions were not made in time, or dead letters were put back", h.DefaultRows)
	add(h.ArchiveDefaultRows > 0, "archive_default_partition",
		"%d rows are in outbox.archive_default, where the janitor puts none: partitions of their ids cannot be archived", h.ArchiveDefaultRows)
	add(h.Blocked > 0, "blocked", "%d aggregates are blocked, the longest for %.0f s", h.Blocked, h.BlockedSeconds)
	add(h.DeadLetters > 0, "dead_letters", "%d dead letters, the oldest %.0f s old", h.DeadLetters, h.DeadLetterSeconds)
	add(partitionsKept > 0, "partitions_kept", "%d full partitions cannot be archived because of unsent events in them", partitionsKept)
	add(rowsKept > 0, "rows_kept", "%d sent rows cannot be archived because the archive has other events of their ids", rowsKept)
	add(h.PartitionsAhead < 1, "partitions_ahead", "no partition is ready above the one in use")
	add(h.ArchivePartitions > manyPartitions, "archive_partitions",
		"the archive has %d partitions: set a retention, or raise max_locks_per_transaction", h.ArchivePartitions)
	vacuumed := "never"
	if h.LastAutovacuum != nil {
		vacuumed = h.LastAutovacuum.Format(time.RFC3339)
	}
	add(h.DeadTuples > manyDead && h.DeadTuples > h.LiveTuples/5, "bloat",
		"%d dead rows beside %d live ones; the last autovacuum: %s", h.DeadTuples, h.LiveTuples, vacuumed)
	if x := h.Xmin; x != nil {
		add(x.Seconds > longXmin.Seconds() || x.Kind != "transaction" && x.Transactions > 1_000_000, "xmin",
			"a %s (%s) has kept vacuum from removing rows for %.0f s and %d transactions", x.Kind, x.Who, x.Seconds, x.Transactions)
	}
	return found
}
