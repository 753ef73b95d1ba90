package janitor

import "time"

// Report is what a run did and found.
type Report struct {
	Counts
	// More means that the time ended before the work did: another run goes on.
	More bool `json:"more"`
	// Shared means that another janitor was at work at the same time.
	Shared bool `json:"shared"`
	// Rate is Rate of [Sample].
	Rate float64 `json:"ids_per_second"`
	// PartitionsKept is the number of closed partitions of outbox.events that
	// could not be archived because of unsent events in them.
	PartitionsKept int64 `json:"partitions_kept"`
	// LockedSeconds is for how long writers and relays were kept out in all, and
	// LongestLockSeconds for how long at one time.
	LockedSeconds      float64 `json:"locked_seconds"`
	LongestLockSeconds float64 `json:"longest_lock_seconds"`
	// Seconds is how long the run took.
	Seconds float64 `json:"seconds"`
	// Health is the state of the outbox at the end, and Findings what is wrong with
	// it.
	Health   Health    `json:"health"`
	Findings []Finding `json:"findings"`
	// Errors are the errors of the steps that failed. The other steps were done.
	Errors []string `json:"errors,omitempty"`
}

// Counts are the counts of what a run did.
type Counts struct {
	// Made is the number of partitions made ahead.
	Made int64 `json:"partitions_made"`
	// Archived is the number of partitions that went to the archive as a whole,
	// Moved the number of rows that went there one by one, and Dropped the number
	// of partitions that were empty after that.
	Archived int64 `json:"partitions_archived"`
	Moved    int64 `json:"rows_moved"`
	Dropped  int64 `json:"partitions_dropped"`
	// Expired is the number of partitions of the archive that were dropped because
	// their retention was over, and ExpiredRows the number of rows that were
	// deleted from other partitions.
	Expired     int64 `json:"archive_partitions_dropped"`
	ExpiredRows int64 `json:"archive_rows_deleted"`
	// Files, FileRows and FileBytes count the files that were exported, their rows,
	// and their bytes as they are stored.
	Files     int64 `json:"files_exported"`
	FileRows  int64 `json:"rows_exported"`
	FileBytes int64 `json:"bytes_exported"`
	// DeadLetters, Redrives and Relays count the deleted rows of outbox.dead_letters,
	// outbox.redrives and outbox.relays.
	DeadLetters int64 `json:"dead_letters_deleted"`
	Redrives    int64 `json:"redrives_deleted"`
	Relays      int64 `json:"relays_expired"`
	// Locked counts steps that were not done because a lock that they need stayed
	// taken.
	Locked int64 `json:"locked"`
}

// addLock counts a time for which writers and relays were kept out.
func (r *Report) addLock(out time.Duration) {
	r.LockedSeconds += out.Seconds()
	r.LongestLockSeconds = max(r.LongestLockSeconds, out.Seconds())
}
