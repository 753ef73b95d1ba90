package janitor

import (
	"context"
	"time"
)

// Store is all that a [Janitor] needs of the database. Every call is one
// transaction, except Archiver.Seal, which is two. Several janitors may call it at
// the same time.
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

// PartitionSize is how many ids a partition is for, which is what the schema's
// outbox.partition_size() answers: partition n has the ids from n*PartitionSize up to (n+1)*PartitionSize-1.
const PartitionSize = 1_000_000

// DefaultPartition is the number that stands for outbox.events_default, the
// partition of all ids that have no other.
const DefaultPartition int64 = -1

// Partitions makes and lists the partitions of outbox.events.
type Partitions interface {
	// Sample measures how fast ids are drawn.
	Sample(ctx context.Context) (Sample, error)
	// Make makes the partition of a number, which is that of the last id or
	// higher, and answers whether it did. It makes nothing when the partition is
	// there, or when a row with one of its ids is in the default partition. Its
	// error is ErrLocked, wrapped, when a lock that it needs is taken.
	Make(ctx context.Context, number int64) (bool, error)
	// ListEvents returns the partitions with the lowest numbers, in their order,
	// limit at most.
	ListEvents(ctx context.Context, limit int) ([]EventsPartition, error)
}

// Sample is how fast ids are drawn.
type Sample struct {
	// At is the time by the database's clock.
	At time.Time
	// Current is the number of the partition of the id that was drawn last.
	Current int64
	// Rate is the highest rate of late, in ids a second. A rate of the past counts
	// half as much with every six hours.
	Rate float64
}

// EventsPartition is a partition of outbox.events.
type EventsPartition struct {
	Number int64
	// Closed means that all ids of the partition were drawn.
	Closed bool
	// Archived means that the archive has a partition for the same ids.
	Archived bool
	// Sealed means that the partition takes no more unsent rows.
	Sealed bool
	// Vacant means that the partition has no rows, Unsent that it has unsent ones.
	Vacant bool
	Unsent bool
	// Newest is when the row with the highest id was sent. It is zero when that
	// row is unsent, and when there is none.
	Newest time.Time
}

// Outcome is what became of a step.
type Outcome string

// The outcomes. All but Done mean that the step changed nothing.
const (
	// Done: the step was done.
	Done Outcome = "done"
	// Busy: another janitor has the lock of steps.
	Busy Outcome = "busy"
	// Locked: another transaction has a lock on a table that the step needs.
	Locked Outcome = "locked"
	// Gone: the partition does not exist.
	Gone Outcome = "gone"
	// Open: ids of the partition may still be drawn.
	Open Outcome = "open"
	// Unsent: the partition has unsent rows.
	Unsent Outcome = "unsent"
	// Young: the partition has rows that were sent at the given time or later.
	Young Outcome = "young"
	// Moved: rows of the partition were moved to the archive one by one before.
	Moved Outcome = "moved"
	// Full: the partition has rows.
	Full Outcome = "full"
	// Unsealed: the partition is not sealed.
	Unsealed Outcome = "unsealed"
	// Changed: the rows are not those that were exported.
	Changed Outcome = "changed"
)

// Archiver makes whole partitions of outbox.events partitions of the archive.
type Archiver interface {
	// Seal makes a closed partition refuse rows that are unsent, or that were sent
	// at before or later, and reads it to prove that it has none. Done means that
	// it is sealed.
	Seal(ctx context.Context, number int64, before time.Time) (Outcome, error)
	// Archive makes a sealed partition one of the archive. It returns for how long
	// writers and relays were kept out: while it had its locks, and while it
	// waited for them, also in vain.
	Archive(ctx context.Context, number int64) (Outcome, time.Duration, error)
	// Unseal undoes Seal. It is done when the partition is not sealed or does not
	// exist.
	Unseal(ctx context.Context, number int64) (Outcome, error)
}

// Mover moves rows of outbox.events to the archive one by one.
type Mover interface {
	// MoveSent looks at limit rows of a partition, or of DefaultPartition, from
	// the id from on, and moves those that were sent before the time before.
	MoveSent(ctx context.Context, number, from int64, before time.Time, limit int) (Move, error)
	// DropVacant drops a closed partition that has no rows. It returns for how
	// long writers and relays were kept out, as Archive does.
	DropVacant(ctx context.Context, number int64) (Outcome, time.Duration, error)
}

// Move is what one call of MoveSent did.
type Move struct {
	Outcome Outcome
	// Moved is the number of rows that were moved.
	Moved int64
	// Next is the from of the next call, 0 when no rows are left to look at.
	Next int64
}

// Keeper lists the archive and removes rows from it.
type Keeper interface {
	// ListArchive returns the partitions of the archive with the lowest numbers,
	// in their order, limit at most.
	ListArchive(ctx context.Context, limit int) ([]ArchivePartition, error)
	// DropArchived drops a closed partition of which all rows were sent before the
	// time before. With exported it does so only when every row is in a recorded
	// file and has not changed since; else the outcome is Changed.
	DropArchived(ctx context.Context, number int64, before time.Time, exported bool) (Outcome, error)
	// DeleteArchived deletes rows with ids from from to to, both inside, that were
	// sent before the time before, and returns how many. Without exported it
	// deletes limit rows at most. With exported the rows must be those of one
	// recorded file, unchanged, and it deletes all of them or none; else the
	// outcome is Changed.
	DeleteArchived(ctx context.Context, from, to int64, before time.Time, limit int, exported bool) (Outcome, int64, error)
}

// ArchivePartition is a partition of outbox.archive.
type ArchivePartition struct {
	Number int64
	// Closed means that outbox.events has no partition for the same ids any more.
	Closed bool
	// Oldest and Newest are when the rows with the lowest and the highest id were
	// sent. Both are zero without rows.
	Oldest, Newest time.Time
	// Rows is the planner's estimate of the number of rows.
	Rows int64
	// Bytes is the size on disk, with indexes.
	Bytes int64
}

// Files records which files the rows of the archive were exported to.
type Files interface {
	// ListFiles returns the recorded files of a partition whose rows are still in
	// the archive, in the order of their ids.
	ListFiles(ctx context.Context, number int64) ([]File, error)
	// RecordFile records a file. To record it again changes nothing.
	RecordFile(ctx context.Context, f File) error
	// ForgetFiles removes the records that ListFiles returns.
	ForgetFiles(ctx context.Context, number int64) error
}

// Rows reads the archive.
type Rows interface {
	// ReadArchive calls row with the rows of a partition in the order of their
	// ids, from the id from on, limit at most. It ends early when row returns
	// false or an error, and returns that error.
	ReadArchive(ctx context.Context, number, from int64, limit int, row func(r *Row) (bool, error)) error
}

// Cleaner deletes rows of the small tables.
type Cleaner interface {
	// DeleteDeadLetters deletes dead letters that were given up before the time
	// before, limit at most, and returns how many.
	DeleteDeadLetters(ctx context.Context, before time.Time, limit int) (int64, error)
	// DeleteRedrives deletes records of redrives and replays that were made before
	// the time before, limit at most, and returns how many.
	DeleteRedrives(ctx context.Context, before time.Time, limit int) (int64, error)
	// ExpireRelays deletes relays whose leases lapsed before the time before, frees
	// their shards, and returns how many relays it deleted.
	ExpireRelays(ctx context.Context, before time.Time) (int64, error)
}

// Inspector reads and records the state of the whole outbox.
type Inspector interface {
	// Health reads what an operator should know. Its counts stop at limit. An
	// unsent event older than alarm counts as stale.
	Health(ctx context.Context, alarm time.Duration, limit int) (Health, error)
	// End records that a run ended, for Health.LastRun.
	End(ctx context.Context) error
}
