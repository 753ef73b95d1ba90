package janitor

import "time"

// Report is what a run did and found.
type Report struct {
	Counts
	// More is true when the run left something to do because its time was over, because exported rows or files had
	// changed, or because a seal could not be taken off. The next run goes on. Steps that failed or stayed locked do
	// not set it: see Errors and Locked.
	More bool `json:"more"`
	// Shared is true when a step was not done because its last outcome was Busy: mostly another janitor was at work.
	Shared bool `json:"shared"`
	// Rate is how fast ids are drawn, in ids a second: [Sample].Rate.
	Rate float64 `json:"ids_per_second"`
	// PartitionsKept is the number of closed partitions of outbox.events that stay there because of unsent events.
	PartitionsKept int64 `json:"partitions_kept"`
	// RowsKept is the number of sent rows that stay in outbox.events because the archive has other events of their ids,
	// which came again after a failover that lost commits, a restore or a restarted sequence.
	RowsKept int64 `json:"rows_kept"`
	// LockedSeconds is for how long all steps together kept writers and relays out, and LongestLockSeconds for how long
	// one step did.
	LockedSeconds      float64 `json:"locked_seconds"`
	LongestLockSeconds float64 `json:"longest_lock_seconds"`
	// Seconds is how long the run took.
	Seconds float64 `json:"seconds"`
	// Health is the state of the outbox at the end of the run, and Findings are what an operator should look at
	// in that state. When the state could not be read, Health is zero and Findings is empty.
	Health   Health    `json:"health"`
	Findings []Finding `json:"findings"`
	// Errors are the texts of the errors of the steps that failed, none when all succeeded.
	Errors []string `json:"errors,omitempty"`
}

// Counts are the numbers of what a run did.
type Counts struct {
	// Made is the number of partitions of outbox.events that were made.
	Made int64 `json:"partitions_made"`
	// Archived is the number of partitions that were moved to the archive as a whole, Moved the number of rows that
	// were moved there one by one, and Dropped the number of partitions of outbox.events that were empty and were
	// dropped.
	Archived int64 `json:"partitions_archived"`
	Moved    int64 `json:"rows_moved"`
	Dropped  int64 `json:"partitions_dropped"`
	// Expired is the number of partitions of the archive that were dropped because their retention was over, and
	// ExpiredRows the number of rows that were deleted from other partitions of the archive.
	Expired     int64 `json:"archive_partitions_dropped"`
	ExpiredRows int64 `json:"archive_rows_deleted"`
	// Files, FileRows and FileBytes are the numbers of files written to the Target, of their rows, and of their bytes as
	// compressed.
	Files     int64 `json:"files_exported"`
	FileRows  int64 `json:"rows_exported"`
	FileBytes int64 `json:"bytes_exported"`
	// DeadLetters and Relays are the numbers of rows deleted from outbox.dead_letters and outbox.relays, and Redrives that
	// of all records that [Cleaner.DeleteRedrives] deleted.
	DeadLetters int64 `json:"dead_letters_deleted"`
	Redrives    int64 `json:"redrives_deleted"`
	Relays      int64 `json:"relays_expired"`
	// Locked is the number of steps that were not done because a lock that they need stayed taken, in each of
	// Config.Attempts attempts, by another janitor or by any other transaction.
	Locked int64 `json:"locked"`
}

// addLock adds out, for how long a step kept writers and relays out, to LockedSeconds, and raises LongestLockSeconds
// to out if that is longer.
func (r *Report) addLock(out time.Duration) {
	r.LockedSeconds += out.Seconds()
	r.LongestLockSeconds = max(r.LongestLockSeconds, out.Seconds())
}
