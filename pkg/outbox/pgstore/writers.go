package pgstore

import (
	"slices"
	"strings"
	"sync"
)

// writerTracker names the transactions that may fill gaps, each by one name for as long as it is open, also when it is
// prepared for two-phase commit. It is safe for concurrent use.
//
// PREPARE TRANSACTION moves the transaction's locks from its virtual transaction id, such as 3/1234, to a name made
// of its transaction id, such as -1/740. A gap that waits for 3/1234 would be given up at that moment although the
// transaction may still commit. The database does not say which name became which, so a virtual id that disappears
// while prepared transactions appear is reported until all of those have ended.
type writerTracker struct {
	mu sync.Mutex
	// open are the virtual transaction ids in the newest list of the database, and prepared the names of prepared
	// transactions in it.
	open, prepared []string
	// renamed has the virtual ids that are not in the list any more and are still reported, each with the names of the
	// prepared transactions that it may have become.
	renamed map[string][]string
}

// see takes the newest list of the database: the names of all transactions that can write events now. It returns these
// names, sorted, with the virtual ids that are not in the list but may be those of prepared transactions in it.
func (t *writerTracker) see(listed []string) []string {
	t.mu.Lock()
	defer t.mu.Unlock()

	var open, prepared []string
	for _, w := range listed {
		if strings.HasPrefix(w, "-1/") {
			prepared = append(prepared, w)
		} else {
			open = append(open, w)
		}
	}
	var appeared []string
	for _, p := range prepared {
		if !slices.Contains(t.prepared, p) {
			appeared = append(appeared, p)
		}
	}
	if len(appeared) > 0 {
		for _, w := range t.open {
			if !slices.Contains(open, w) {
				if t.renamed == nil {
					t.renamed = make(map[string][]string)
				}
				t.renamed[w] = appeared
			}
		}
	}
	t.open, t.prepared = open, prepared

	out := slices.Clone(listed)
	for w, became := range t.renamed {
		if slices.ContainsFunc(became, func(p string) bool { return slices.Contains(prepared, p) }) {
			out = append(out, w)
		} else {
			delete(t.renamed, w)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
