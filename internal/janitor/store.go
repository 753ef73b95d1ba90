package janitor

import (
	"context"
	"time"
)

// Store is all that a janitor needs of the database. Every call is one
// transaction, but for Archiver.Seal, which is two.
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

// PartitionSize is how many ids a partition is for, as the schema has it:
// partition n has the ids from n*PartitionSize up to (n+1)*PartitionSize-1.
const PartitionSize = 1_000_000

// Partitions are the partitions of the events.
type Partitions interface {
	// Sample measures how fast ids are drawn.
	Sample(ctx context.Context) (Sample, error)
	// Make makes the partition of a number, which is that of the next id or
	// above it. It answers false when it is there, or when its ids have begun to
	// go to the default partition.
	Make(ctx context.Context, number int64) (bool, error)
	// ListEvents returns the oldest partitions in order, limit at most.
	ListEvents(ctx context.Context, limit int) ([]EventsPartition, error)
}

// Sample is how fast ids are drawn.
type Sample struct {
	// At is the database's clock.
	At time.Time
	// Current is the number of the partition of the id that was drawn last.
	Current int64
	// Rate is the highest rate of late, in ids a second.
	Rate float64
}

// EventsPartition is a partition of the events.
type EventsPartition struct {
	Number int64
	// Closed: all ids of it were drawn.
	Closed bool
	// Archived: the archive has a partition for the same ids.
	Archived bool
	// Sealed: it takes unsent rows no more.
	Sealed bool
	// Vacant: it has no rows. Unsent: it has unsent rows.
	Vacant bool
	Unsent bool
	// Newest is when the row with the highest id was sent, zero when it was not
	// or there is none.
	Newest time.Time
}

// Outcome says what came of a step.
type Outcome string

// The outcomes of steps.
const (
	// Done: the step was done.
	Done Outcome = "done"
	// Busy: another janitor is at work.
	Busy Outcome = "busy"
	// Locked: somebody uses what the step needs for itself alone.
	Locked Outcome = "locked"
	// Gone: there is no such partition.
	Gone Outcome = "gone"
	// Open: ids of the partition may still be drawn.
	Open Outcome = "open"
	// Unsent: the partition has rows that were not sent.
	Unsent Outcome = "unsent"
	// Young: the partition has rows that were sent too late.
	Young Outcome = "young"
	// Moved: rows of the partition were moved to the archive already.
	Moved Outcome = "moved"
	// Full: the partition has rows.
	Full Outcome = "full"
	// Unsealed: the partition is not sealed.
	Unsealed Outcome = "unsealed"
	// Changed: the rows are not those that were exported.
	Changed Outcome = "changed"
)

// Archiver moves whole partitions to the archive.
type Archiver interface {
	// Seal makes a closed partition refuse rows that are unsent or were sent at
	// before or later, and reads it to prove that it has none. Done means that
	// it is sealed.
	Seal(ctx context.Context, number int64, before time.Time) (Outcome, error)
	// Archive makes a sealed partition one of the archive. It returns how long
	// writers and relays were kept out, those that it waited for in vain
	// included.
	Archive(ctx context.Context, number int64) (Outcome, time.Duration, error)
	// Unseal undoes Seal. A partition that is not sealed, or not there, is left.
	Unseal(ctx context.Context, number int64) (Outcome, error)
}

// DefaultPartition stands for the number of the partition that takes what no
// other does.
const DefaultPartition int64 = -1

// Mover moves rows to the archive.
type Mover interface {
	// MoveSent moves rows of a partition, or of DefaultPartition, that were sent
	// before the time, from the id on. It looks at limit rows. next is where to
	// go on, 0 when there is nothing more.
	MoveSent(ctx context.Context, number, from int64, before time.Time, limit int) (m Move, err error)
	// DropVacant drops a closed partition that has no rows any more.
	DropVacant(ctx context.Context, number int64) (Outcome, time.Duration, error)
}

// Move is what MoveSent did.
type Move struct {
	Outcome Outcome
	Moved   int64
	Next    int64
}

// Keeper applies the retention of the archive.
type Keeper interface {
	// ListArchive returns the oldest partitions of the archive in order, limit
	// at most.
	ListArchive(ctx context.Context, limit int) ([]ArchivePartition, error)
	// DropArchived drops a closed partition of which all rows were sent before
	// the time. With exported it does so only if each of them is in a recorded
	// file, as it is; else the outcome is Changed.
	DropArchived(ctx context.Context, number int64, before time.Time, exported bool) (Outcome, error)
	// DeleteArchived deletes rows with ids from from to to that were sent before
	// the time, limit at most. With exported they must be the rows of one
	// recorded file, as they are, and all go or none; else the outcome is
	// Changed.
	DeleteArchived(ctx context.Context, from, to int64, before time.Time, limit int, exported bool) (Outcome, int64, error)
}

// ArchivePartition is a partition of the archive.
type ArchivePartition struct {
	Number int64
	// Closed: the events have no partition for the same ids any more.
	Closed bool
	// Oldest and Newest are when the rows with the lowest and the highest id
	// were sent, zero without rows.
	Oldest, Newest time.Time
	// Rows is an estimate.
	Rows  int64
	Bytes int64
}

// Files remembers which files rows were exported to.
type Files interface {
	// ListFiles returns the files of a partition whose rows are still in the
	// archive, in the order of their ids.
	ListFiles(ctx context.Context, number int64) ([]File, error)
	// RecordFile remembers a file. Recording it again changes nothing.
	RecordFile(ctx context.Context, f File) error
	// ForgetFiles forgets what ListFiles returns.
	ForgetFiles(ctx context.Context, number int64) error
}

// Rows reads the archive.
type Rows interface {
	// ReadArchive calls row with the rows of a partition in the order of their
	// ids, from the id on, limit at most. It ends early and without an error
	// when row answers false.
	ReadArchive(ctx context.Context, number, from int64, limit int, row func(r *Row) (bool, error)) error
}

// Cleaner deletes what was left behind.
type Cleaner interface {
	// DeleteDeadLetters deletes events that died before the time, limit at most.
	DeleteDeadLetters(ctx context.Context, before time.Time, limit int) (int64, error)
	// DeleteRedrives deletes what was noted of redrives before the time, limit
	// at most.
	DeleteRedrives(ctx context.Context, before time.Time, limit int) (int64, error)
	// ExpireRelays ends leases that lapsed before the time.
	ExpireRelays(ctx context.Context, before time.Time) (int64, error)
}

// Inspector looks at the whole.
type Inspector interface {
	// Health reads what an operator should know. Counts stop at limit; alarm is
	// the age at which an unsent event is stale.
	Health(ctx context.Context, alarm time.Duration, limit int) (Health, error)
	// End notes that a run ended.
	End(ctx context.Context) error
}
