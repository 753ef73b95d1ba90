package janitor

import (
	"context"
	"time"
)

// Store is all that a [Janitor] needs of the database. Every call is one transaction, except Archiver.Seal, which is
// two. It is safe for concurrent use, by several janitors too.
type Store interface {
	Partitions
	Archiver
	Mover
	Keeper
	Files
	Rows
	Cleaner
	Inspector
}

// PartitionSize is the number of ids of a partition, as outbox.partition_size() of the schema returns it: partition n
// has the ids from n*PartitionSize to (n+1)*PartitionSize-1.
const PartitionSize = 1_000_000

// DefaultPartition is the number of outbox.events_default, which has the rows whose ids belong to no other partition.
const DefaultPartition int64 = -1

// Partitions makes and lists the partitions of outbox.events.
type Partitions interface {
	// Sample measures how fast the sequence of outbox.events gives ids out.
	Sample(ctx context.Context) (Sample, error)
	// Make makes the partition with that number, which must be Sample.Current or higher, and reports whether it did. It
	// makes nothing when the partition exists, or when a row with one of its ids is in the default partition. Its error
	// is ErrLocked, wrapped, when a lock that it needs is taken.
	Make(ctx context.Context, number int64) (bool, error)
	// ListEvents returns the partitions of outbox.events with the lowest numbers, in their order, limit at most.
	ListEvents(ctx context.Context, limit int) ([]EventsPartition, error)
}

// Sample is a measurement of how fast ids are drawn from the sequence of outbox.events.
type Sample struct {
	// At is the time of the measurement by the database's clock.
	At time.Time
	// Current is the number of the partition in use: that of the id which was drawn last.
	Current int64
	// Rate is the highest recent rate, in ids a second. A past rate is halved for every six hours since it was
	// measured.
	Rate float64
}

// EventsPartition is a partition of outbox.events.
type EventsPartition struct {
	Number int64
	// Closed is true when all ids of the partition were drawn. A transaction that is still open may write one of them.
	Closed bool
	// Archived is true when the archive has a partition for the same ids.
	Archived bool
	// Sealed is true when a constraint makes the partition refuse unsent rows.
	Sealed bool
	// Vacant is true when the partition has no rows, and Unsent when it has unsent rows.
	Vacant bool
	Unsent bool
	// Newest is when the row with the highest id was sent, zero when that row is unsent and when there is no row.
	Newest time.Time
}

// Outcome is the result of a step, which is one call of a [Store]. It is empty beside an error.
type Outcome string

// The outcomes. All but Done mean that the step changed nothing, except that Archiver.Seal may have added its
// constraint.
const (
	// Done: the step was done.
	Done Outcome = "done"
	// Busy: another janitor is doing a step, or a lock that the step of Seal which reads the partition needs is taken.
	Busy Outcome = "busy"
	// Locked: another transaction has a lock on a table, which the step needs.
	Locked Outcome = "locked"
	// Gone: the partition does not exist.
	Gone Outcome = "gone"
	// Open: ids of the partition may still be drawn.
	Open Outcome = "open"
	// Unsent: the partition has unsent rows.
	Unsent Outcome = "unsent"
	// Young: the partition has rows that were not sent earlier than the time before, the argument of the call.
	Young Outcome = "young"
	// Moved: the archive has a partition for these ids already, since rows were moved there one by one.
	Moved Outcome = "moved"
	// Full: the partition has rows.
	Full Outcome = "full"
	// Unsealed: the partition is not sealed.
	Unsealed Outcome = "unsealed"
	// Changed: the rows are not those of the recorded files.
	Changed Outcome = "changed"
)

// Archiver moves whole partitions of outbox.events to the archive: it seals, archives or unseals them.
type Archiver interface {
	// Seal adds a constraint to a closed partition that refuses every row but those that were sent earlier than
	// before, and reads the partition to validate it. The outcome Done means that the partition is sealed. After
	// any other outcome, and after an error, the constraint may be there: the caller must then call Unseal.
	Seal(ctx context.Context, number int64, before time.Time) (Outcome, error)
	// Archive makes a sealed partition of outbox.events one of the archive. The duration is for how long writers
	// and relays were kept out: while Archive waited for its locks, whether it got them or not, and while it had
	// them.
	Archive(ctx context.Context, number int64) (Outcome, time.Duration, error)
	// Unseal drops the constraint of Seal. The outcome is Done also when the partition is not sealed or does not exist.
	Unseal(ctx context.Context, number int64) (Outcome, error)
}

// Mover moves sent rows of outbox.events to the archive one by one: those of DefaultPartition, and of each
// partition that cannot become one of the archive as a whole, because it is not closed or because the archive has
// rows of it already. It also drops the closed partitions that have no rows left.
type Mover interface {
	// MoveSent looks at the next limit rows of a partition, or of DefaultPartition, with the id from and higher
	// ones, and moves those to the archive that were sent earlier than before. Unsent rows stay.
	MoveSent(ctx context.Context, number, from int64, before time.Time, limit int) (Move, error)
	// DropVacant drops a closed partition of outbox.events that has no rows. The outcome is Open when the
	// partition is not closed, and Full when it has rows. The duration is for how long writers and relays were
	// kept out: while DropVacant waited for its locks, and while it had them.
	DropVacant(ctx context.Context, number int64) (Outcome, time.Duration, error)
}

// Move is what one call of MoveSent did.
type Move struct {
	Outcome Outcome
	// Moved is the number of rows that the call moved to the archive, 0 unless Outcome is Done.
	Moved int64
	// Kept is the number of rows that were due and stay, because the archive has another event of their ids.
	Kept int64
	// Next is the argument from of the next call. It is 0 when no rows are left to look at, when all rows looked at
	// were created at or after before, and when Outcome is not Done.
	Next int64
}

// Keeper lists the partitions of the archive and removes rows from it.
type Keeper interface {
	// ListArchive returns the partitions of the archive with the lowest numbers, in their order, limit at most.
	ListArchive(ctx context.Context, limit int) ([]ArchivePartition, error)
	// DropArchived drops a closed partition of the archive whose rows were all sent earlier than before. With exported
	// it does so only when the rows are those of the recorded files, unchanged; else the outcome is Changed.
	DropArchived(ctx context.Context, number int64, before time.Time, exported bool) (Outcome, error)
	// DeleteArchived deletes the rows whose ids are at least from and at most to, and that were sent earlier than
	// before, and returns how many. Without exported it deletes limit rows at most. With exported, from and to must be
	// those of a recorded file: it deletes all rows of the file when they are unchanged; else it deletes none, and the
	// outcome is Changed.
	DeleteArchived(ctx context.Context, from, to int64, before time.Time, limit int, exported bool) (Outcome, int64, error)
}

// ArchivePartition is a partition of outbox.archive.
type ArchivePartition struct {
	Number int64
	// Closed is true when all ids of the partition were drawn and outbox.events has no partition for them. Rows are
	// then added only by MoveSent from DefaultPartition: events that were written there while the partition did not
	// exist, and events that a redrive put back under their old ids.
	Closed bool
	// Oldest and Newest are when the rows with the lowest and the highest id were sent. Both are zero without rows.
	Oldest, Newest time.Time
	// Rows is PostgreSQL's estimate of the number of rows.
	Rows int64
	// Bytes is the size on disk, with indexes.
	Bytes int64
}

// Files is the table of the files to which rows of the archive were exported.
type Files interface {
	// ListFiles returns those recorded files of a partition whose rows are still in the archive, in the order of ids.
	ListFiles(ctx context.Context, number int64) ([]File, error)
	// RecordFile records a file, in the place of a record with the same Location.
	RecordFile(ctx context.Context, f File) error
	// ForgetFiles removes the records of the files that ListFiles returns for the partition. The files stay.
	ForgetFiles(ctx context.Context, number int64) error
}

// Rows reads rows of the archive.
type Rows interface {
	// ReadArchive calls row for the rows of a partition with the id from and higher ones, in the order of their ids,
	// limit at most. It ends early when row returns false, and when row returns an error, which it then returns.
	ReadArchive(ctx context.Context, number, from int64, limit int, row func(r *Row) (bool, error)) error
}

// Cleaner deletes old rows of the tables of dead letters, redrives and relays.
type Cleaner interface {
	// DeleteDeadLetters deletes dead letters that were given up earlier than before and block no lane, limit at most,
	// keeps a record of each without its payload, and returns how many.
	DeleteDeadLetters(ctx context.Context, before time.Time, limit int) (int64, error)
	// DeleteRedrives deletes the records of redriven and replayed events, of deleted dead letters, and of runs over
	// dead-letter queues that are older than before, limit of each kind at most, and returns how many. It may keep some
	// that are older.
	DeleteRedrives(ctx context.Context, before time.Time, limit int) (int64, error)
	// ExpireRelays deletes the rows of relays whose leases lapsed earlier than before, makes their shards free, and
	// returns how many relays it deleted. A relay whose row is locked, as by a settlement, stays.
	ExpireRelays(ctx context.Context, before time.Time) (int64, error)
}

// Inspector reads and records the state of the whole outbox.
type Inspector interface {
	// Health reads the state of the outbox. Its counts of events and dead letters stop at limit. An unsent event older
	// than alarm counts as stale.
	Health(ctx context.Context, alarm time.Duration, limit int) (Health, error)
	// End stores the present time as that at which a run ended, which is Health.LastRun of the next run.
	End(ctx context.Context) error
}
