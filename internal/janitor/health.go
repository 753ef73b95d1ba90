package janitor

import (
	"fmt"
	"time"
)

// Health is how the outbox stands. Counts may stop at a limit.
type Health struct {
	// Now is the database's clock, and LastRun when the run before this ended.
	Now     time.Time  `json:"now"`
	LastRun *time.Time `json:"last_run"`
	// PartitionsAhead are those ready above the one in use, -1 when that one
	// itself is missing.
	PartitionsAhead   int64 `json:"partitions_ahead"`
	EventsPartitions  int64 `json:"events_partitions"`
	ArchivePartitions int64 `json:"archive_partitions"`
	// Unsent events, those Behind the position of their relay for more than a
	// minute, Stale ones, and the age of the oldest.
	Unsent        int64   `json:"unsent"`
	Behind        int64   `json:"behind"`
	Stale         int64   `json:"stale"`
	OldestSeconds float64 `json:"oldest_seconds"`
	// DefaultRows are in the default partition of the events, ArchiveDefaultRows
	// in that of the archive.
	DefaultRows        int64 `json:"default_rows"`
	ArchiveDefaultRows int64 `json:"archive_default_rows"`
	// Blocked lanes and dead letters, and the age of the oldest of each.
	Blocked           int64   `json:"blocked"`
	BlockedSeconds    float64 `json:"blocked_seconds"`
	DeadLetters       int64   `json:"dead_letters"`
	DeadLetterSeconds float64 `json:"dead_letter_seconds"`
	// DeadTuples and LiveTuples of the hot tables, as PostgreSQL estimates them,
	// and when autovacuum last looked after the events.
	DeadTuples     int64      `json:"dead_tuples"`
	LiveTuples     int64      `json:"live_tuples"`
	LastAutovacuum *time.Time `json:"last_autovacuum"`
	// Bytes and ArchiveBytes on disk.
	Bytes        int64 `json:"bytes"`
	ArchiveBytes int64 `json:"archive_bytes"`
	// Xmin is what holds back vacuum the most, nil when nothing does, or when
	// the owner of the schema may not see the sessions of others (pg_read_all_stats).
	Xmin *XminHolder `json:"xmin"`
}

// XminHolder is what keeps vacuum from removing dead rows.
type XminHolder struct {
	// Kind is transaction, prepared transaction or replication slot.
	Kind string `json:"kind"`
	Who  string `json:"who"`
	// Transactions is how many have begun since.
	Transactions int64   `json:"transactions"`
	Seconds      float64 `json:"seconds"`
}

// Finding is something that should not be. Code is stable.
type Finding struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

const (
	// manyDead is when vacuum should have been there: four times the threshold
	// of the events' tables.
	manyDead = 80_000
	// longXmin is for how long a transaction may hold vacuum back unmentioned.
	longXmin = 10 * time.Minute
	// manyPartitions is from where on a lookup in the archive, which locks four
	// relations for each, may need a larger max_locks_per_transaction.
	manyPartitions = 500
	// sampleLimit bounds what Health counts.
	sampleLimit = 10_000
)

// findings says what is wrong with the health.
func findings(h *Health, held int64, c *Config) []Finding {
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
	add(h.Blocked > 0, "blocked", "%d aggregates are on hold, the longest for %.0f s", h.Blocked, h.BlockedSeconds)
	add(h.DeadLetters > 0, "dead_letters", "%d dead letters, the oldest %.0f s old", h.DeadLetters, h.DeadLetterSeconds)
	add(held > 0, "held_partitions", "%d full partitions cannot be archived because of unsent events in them", held)
	add(h.PartitionsAhead < 1, "partitions_ahead", "no partition is ready above the one in use")
	add(h.ArchivePartitions > manyPartitions, "archive_partitions",
		"the archive has %d partitions: set a retention, or raise max_locks_per_transaction", h.ArchivePartitions)
	vacuumed := "never"
	if h.LastAutovacuum != nil {
		vacuumed = h.LastAutovacuum.Format(time.RFC3339)
	}
	add(h.DeadTuples > manyDead && h.DeadTuples > h.LiveTuples/5, "bloat",
		"%d dead rows beside %d live ones; autovacuum was last there: %s", h.DeadTuples, h.LiveTuples, vacuumed)
	if x := h.Xmin; x != nil {
		add(x.Seconds > longXmin.Seconds() || x.Kind != "transaction" && x.Transactions > 1_000_000, "xmin",
			"a %s (%s) has held back vacuum for %.0f s and %d transactions", x.Kind, x.Who, x.Seconds, x.Transactions)
	}
	return found
}
