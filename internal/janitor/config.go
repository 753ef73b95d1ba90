package janitor

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// The defaults of Config.
const (
	DefaultAhead          = 3
	DefaultAheadFor       = 24 * time.Hour
	DefaultMaxAhead       = 32
	DefaultRetention      = 24 * time.Hour
	DefaultKeepPartitions = 32
	DefaultMoveLimit      = 1_000
	DefaultExportRows     = 50_000
	DefaultExportBytes    = 16 << 20
	DefaultAlarmAge       = 5 * time.Minute
	DefaultAttempts       = 5
	DefaultRetryMin       = 250 * time.Millisecond
	DefaultReserve        = 5 * time.Second
)

// Config is the configuration of a [Janitor]. A field that is zero has the default constant of its name, where
// there is one. Validate refuses a value out of the range that the field names.
type Config struct {
	// Ahead is the least number of partitions, of PartitionSize ids each, to have ready above the one in use: 1
	// to MaxAhead.
	Ahead int
	// AheadFor is for how long the partitions that are ready should last at [Sample].Rate, at least a minute.
	// MaxAhead limits their number.
	AheadFor time.Duration
	// MaxAhead is the most partitions to have ready, 1 to 1000. Each makes every read of new events a little
	// slower.
	MaxAhead int

	// Retention is how long an event stays in outbox.events after it was sent, at least a second. Events in full
	// partitions may go earlier: see KeepPartitions.
	Retention time.Duration
	// KeepPartitions is how many full partitions stay in outbox.events for Retention, 1 to 10,000. Where there are
	// more, the oldest are archived as soon as all their events were sent, because a query without an id locks every
	// partition. A run counts listLimit partitions at most, so that from listLimit on it has no effect.
	KeepPartitions int
	// MoveLimit is how many rows one transaction looks at when it moves rows to the archive, 1 to 100,000.
	MoveLimit int

	// ArchiveRetention is how long after it was sent an event stays in the archive, and how long the record of a
	// redrive or of a deleted dead letter stays; at least Retention. With a Target rows may stay a day longer, unless
	// all ids of their partition were drawn and all its rows are so old. Both stay for outbox.settings.keep at least, a
	// day where the owner of the schema chose nothing else. Zero is for ever.
	ArchiveRetention time.Duration
	// Target is where rows are stored before ArchiveRetention, which must be set then, removes them from the
	// archive. When it is nil they are removed without a copy.
	Target Target
	// Prefix is the first part of the keys of all files in Target. It may be empty.
	Prefix string
	// ExportRows is the most rows of one file, 1 to 1,000,000. A file also ends with the row that makes it
	// ExportBytes or longer, compressed; ExportBytes is at most 1 GiB.
	ExportRows  int
	ExportBytes int

	// DeadLetterRetention is how long a dead letter stays in outbox.dead_letters. One that blocks a lane stays until the
	// lane is released. Zero is for ever.
	DeadLetterRetention time.Duration
	// AlarmAge is the age from which on Health counts an unsent event as stale, at least a second.
	AlarmAge time.Duration

	// Attempts is how often a step is tried while a lock that it needs is taken, 1 to 100. An attempt that needs
	// a lock on outbox.events waits up to 50 ms for the lock, in which other transactions wait behind it.
	Attempts int
	// RetryMin is the pause before the second attempt, at least a millisecond. Each further pause is twice the last.
	RetryMin time.Duration
	// Reserve is how long before the end of a run the steps end, at least a millisecond. It is also the longest time for
	// what comes then: to read Health and to record that the run ended.
	Reserve time.Duration

	// Observer is given the report of each run, also of one with errors. It may be nil.
	Observer Observer
	// Logger defaults to slog.Default().
	Logger *slog.Logger
}

// Observer is given the reports of runs, such as to write metrics.
type Observer interface {
	// ObserveJanitor is called once at the end of each run. It must not use the report after it has returned.
	ObserveJanitor(r *Report)
}

// WithDefaults returns c with the default in every field that is zero.
func (c Config) WithDefaults() Config {
	c.Ahead = cmp.Or(c.Ahead, DefaultAhead)
	c.AheadFor = cmp.Or(c.AheadFor, DefaultAheadFor)
	c.MaxAhead = cmp.Or(c.MaxAhead, DefaultMaxAhead)
	c.Retention = cmp.Or(c.Retention, DefaultRetention)
	c.KeepPartitions = cmp.Or(c.KeepPartitions, DefaultKeepPartitions)
	c.MoveLimit = cmp.Or(c.MoveLimit, DefaultMoveLimit)
	c.ExportRows = cmp.Or(c.ExportRows, DefaultExportRows)
	c.ExportBytes = cmp.Or(c.ExportBytes, DefaultExportBytes)
	c.AlarmAge = cmp.Or(c.AlarmAge, DefaultAlarmAge)
	c.Attempts = cmp.Or(c.Attempts, DefaultAttempts)
	c.RetryMin = cmp.Or(c.RetryMin, DefaultRetryMin)
	c.Reserve = cmp.Or(c.Reserve, DefaultReserve)
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}

// FieldError is a fault of one field of a [Config].
type FieldError struct {
	// Field is the name of the field, such as AheadFor.
	Field string
	// Problem says what is wrong with the value of the field, and may name another field in backquotes.
	Problem string
	// Bound is the name of another field whose value is the limit in Problem, empty when there is none.
	Bound string
}

// Error implements error.
func (e *FieldError) Error() string {
	if e.Bound == "" {
		return e.Field + ": " + e.Problem
	}
	return e.Field + ": " + e.Problem + " (" + e.Bound + ")"
}

// Validate returns an error that joins every fault of c, each a [*FieldError], or nil. Zero fields count as their
// defaults. Faults are values out of the range that a field's comment names, and a Target without an
// ArchiveRetention.
func (c Config) Validate() error {
	c = c.WithDefaults()
	var faults []error
	bad := func(field, format string, args ...any) {
		faults = append(faults, &FieldError{Field: field, Problem: fmt.Sprintf(format, args...)})
	}
	for _, n := range []struct {
		name             string
		value, low, high int
	}{
		{"Ahead", c.Ahead, 1, 1000},
		{"MaxAhead", c.MaxAhead, 1, 1000},
		{"KeepPartitions", c.KeepPartitions, 1, 10_000},
		{"MoveLimit", c.MoveLimit, 1, 100_000},
		{"ExportRows", c.ExportRows, 1, 1_000_000},
		{"ExportBytes", c.ExportBytes, 1, 1 << 30},
		{"Attempts", c.Attempts, 1, 100},
	} {
		if n.value < n.low || n.value > n.high {
			bad(n.name, "must be %d to %d, is %d", n.low, n.high, n.value)
		}
	}
	for _, d := range []struct {
		name  string
		value time.Duration
		least time.Duration
	}{
		{"AheadFor", c.AheadFor, time.Minute},
		{"Retention", c.Retention, time.Second},
		{"AlarmAge", c.AlarmAge, time.Second},
		{"RetryMin", c.RetryMin, time.Millisecond},
		{"Reserve", c.Reserve, time.Millisecond},
		{"ArchiveRetention", c.ArchiveRetention, 0},
		{"DeadLetterRetention", c.DeadLetterRetention, 0},
	} {
		if d.value < d.least {
			bad(d.name, "must be at least %v, is %v", d.least, d.value)
		}
	}
	if c.Ahead > c.MaxAhead {
		faults = append(faults, &FieldError{"Ahead", fmt.Sprintf("is %d, must be at most %d", c.Ahead, c.MaxAhead), "MaxAhead"})
	}
	if c.ArchiveRetention != 0 && c.ArchiveRetention < c.Retention {
		faults = append(faults, &FieldError{"ArchiveRetention", fmt.Sprintf("is %v, must be at least %v", c.ArchiveRetention, c.Retention), "Retention"})
	}
	if c.Target != nil && c.ArchiveRetention == 0 {
		bad("ArchiveRetention", "is 0, so that nothing goes to `Target`: set it, or leave `Target` out")
	}
	return errors.Join(faults...)
}

// ahead returns how many partitions should be ready above the one in use when ids are drawn at rate, in ids a
// second: as many as last for AheadFor, but at least Ahead and at most MaxAhead.
func (c Config) ahead(rate float64) int {
	wanted := rate * c.AheadFor.Seconds() / PartitionSize
	if wanted >= float64(c.MaxAhead) {
		return c.MaxAhead
	}
	return max(c.Ahead, int(wanted)+1)
}
