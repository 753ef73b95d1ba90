package janitor

import "time"

// Report is what a run did and found.
type Report struct {
	Counts
	// More means that the time ended before the work did: run again.
	More bool `json:"more"`
	// Shared means that another janitor was at work at the same time.
	Shared bool `json:"shared"`
	// Rate is how many ids are drawn a second, the highest of late.
	Rate float64 `json:"ids_per_second"`
	// Held are closed partitions of the events that stay because of unsent
	// events in them.
	Held int64 `json:"held_partitions"`
	// LockedSeconds is how long writers and relays were kept out in all, and
	// LongestLockSeconds at once.
	LockedSeconds      float64 `json:"locked_seconds"`
	LongestLockSeconds float64 `json:"longest_lock_seconds"`
	// Seconds is how long the run took.
	Seconds float64 `json:"seconds"`
	// Health is how things stood at the end, and Findings what is wrong with it.
	Health   Health    `json:"health"`
	Findings []Finding `json:"findings"`
	// Errors are the steps that failed. The others were done.
	Errors []string `json:"errors,omitempty"`
}

// Counts are what a run did, as plain sums.
type Counts struct {
	// Made is the number of partitions made ahead.
	Made int64 `json:"partitions_made"`
	// Archived is the number of partitions that went to the archive as a whole,
	// Moved the number of rows that went there one by one, and Dropped the number
	// of partitions that were empty after that.
	Archived int64 `json:"partitions_archived"`
	Moved    int64 `json:"rows_moved"`
	Dropped  int64 `json:"partitions_dropped"`
	// Expired is the number of partitions of the archive that its retention
	// ended, ExpiredRows that of single rows.
	Expired     int64 `json:"archive_partitions_dropped"`
	ExpiredRows int64 `json:"archive_rows_deleted"`
	// Files, FileRows and FileBytes are what was exported.
	Files     int64 `json:"files_exported"`
	FileRows  int64 `json:"rows_exported"`
	FileBytes int64 `json:"bytes_exported"`
	// DeadLetters, Redrives and Relays were deleted.
	DeadLetters int64 `json:"dead_letters_deleted"`
	Redrives    int64 `json:"redrives_deleted"`
	Relays      int64 `json:"relays_expired"`
	// Locked counts steps that were put off because somebody used the table.
	Locked int64 `json:"locked"`
}

func (r *Report) kept(out time.Duration) {
	r.LockedSeconds += out.Seconds()
	r.LongestLockSeconds = max(r.LongestLockSeconds, out.Seconds())
}
