package history

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Kind is the promise that a violation breaks.
type Kind string

const (
	// Lost: a committed event was neither accepted nor is it dead or blocked.
	Lost Kind = "lost"
	// Reordered: an event was first accepted after a later one of its lane, or
	// is blocked behind a later one that was accepted.
	Reordered Kind = "reordered"
	// Duplicated: an event was sent again without a cause.
	Duplicated Kind = "duplicated"
	// DeduplicationChanged: a send carried a deduplication id that is neither
	// the event id nor one of a replay that was asked for.
	DeduplicationChanged Kind = "deduplication_changed"
	// MarkedNotAccepted: a row is marked as sent but no broker accepted it.
	MarkedNotAccepted Kind = "marked_not_accepted"
	// AcceptedNotMarked: an event was accepted but its row does not say so.
	AcceptedNotMarked Kind = "accepted_not_marked"
	// Mismarked: a row carries a message id that none of its sends got.
	Mismarked Kind = "mismarked"
	// Phantom: an event was seen that was rolled back or never written.
	Phantom Kind = "phantom"
	// WrongGroup: a send carried another group id than its lane's.
	WrongGroup Kind = "wrong_group"
	// WrongDestination: an event was accepted by a destination not its own.
	WrongDestination Kind = "wrong_destination"
	// Altered: a body is not the payload as written.
	Altered Kind = "altered"
	// Unexplained: a row is dead or blocked without a reason.
	Unexplained Kind = "unexplained"
	// NotReceived: a consumer missed an event that was accepted for it.
	NotReceived Kind = "not_received"
	// ReceivedOutOfOrder: a consumer first received an event of a lane after
	// one that the broker had accepted later.
	ReceivedOutOfOrder Kind = "received_out_of_order"
	// Malformed: the recording contradicts itself and proves nothing.
	Malformed Kind = "malformed"
)

// Violation is one broken promise with what shows it.
type Violation struct {
	Kind Kind `json:"kind"`
	// Events are the fewest events that show it.
	Events []uuid.UUID `json:"events"`
	// Witness says in one line what happened to these events.
	Witness string `json:"witness"`
}

// Latency is the time from the begin of the commit to the first acceptance, so
// an upper bound of what consumers could notice, in milliseconds.
type Latency struct {
	Count int64   `json:"count"`
	P50   float64 `json:"p50_ms"`
	P90   float64 `json:"p90_ms"`
	P99   float64 `json:"p99_ms"`
	P999  float64 `json:"p999_ms"`
	Max   float64 `json:"max_ms"`
}

// Verdict is the judgement of a history. It can be printed and encoded as JSON.
type Verdict struct {
	// Committed and RolledBack count events as they were written; events in doubt are
	// counted by their final states.
	Committed  int `json:"committed"`
	RolledBack int `json:"rolled_back"`
	// Accepted counts events that a broker accepted at least once.
	Accepted int `json:"accepted"`
	// DeadLetters counts events that ended as dead letters, Blocked those that wait
	// behind one.
	DeadLetters int `json:"dead_letters"`
	Blocked     int `json:"blocked"`
	// AcceptedAndDead counts events that a broker accepted although they are
	// dead or blocked: each of their sends has a cause of its own.
	AcceptedAndDead int `json:"accepted_and_dead"`
	// Sends counts all acceptances, Suppressed those that the broker dropped
	// as duplicates, DuplicatesWithCause those that a cause explains, and
	// Replayed the first sends under the deduplication id of a replay.
	Sends               int `json:"sends"`
	Suppressed          int `json:"suppressed"`
	DuplicatesWithCause int `json:"duplicates_with_cause"`
	Replayed            int `json:"replayed"`
	// Received counts receipts, Redelivered those of an event that the
	// consumer had received before, which FIFO queues may do.
	Received    int `json:"received"`
	Redelivered int `json:"redelivered"`
	// Causes counts the recorded causes.
	Causes map[CauseKind]int `json:"causes"`
	// Violations counts every broken promise; Witnesses shows the first few of
	// each kind.
	Violations map[Kind]int `json:"violations"`
	Witnesses  []Violation  `json:"witnesses"`
	// Latency is by destination.
	Latency map[string]Latency `json:"latency"`
}

// OK reports that no promise was broken. A history without a committed event proves
// nothing and is not OK.
func (v *Verdict) OK() bool {
	return len(v.Violations) == 0 && v.Committed > 0
}

// String returns the report: one line of counts, then the witnesses.
func (v *Verdict) String() string {
	var b strings.Builder
	word := "OK"
	switch {
	case len(v.Violations) > 0:
		word = "BROKEN"
	case v.Committed == 0:
		word = "EMPTY"
	}
	fmt.Fprintf(&b, "%s: %d committed, %d rolled back, %d accepted, %d dead, %d blocked; %d sends, %d suppressed, %d duplicates with a cause, %d replayed; %d received, %d redelivered\n",
		word, v.Committed, v.RolledBack, v.Accepted, v.DeadLetters, v.Blocked, v.Sends, v.Suppressed, v.DuplicatesWithCause, v.Replayed, v.Received, v.Redelivered)
	for _, name := range sortedKeys(v.Latency) {
		l := v.Latency[name]
		fmt.Fprintf(&b, "  %s: commit to accepted p50 %.1f ms, p90 %.1f ms, p99 %.1f ms, p99.9 %.1f ms, max %.1f ms (%d)\n",
			name, l.P50, l.P90, l.P99, l.P999, l.Max, l.Count)
	}
	for _, kind := range sortedKeys(v.Violations) {
		fmt.Fprintf(&b, "  %s: %d\n", kind, v.Violations[kind])
		for _, w := range v.Witnesses {
			if w.Kind == kind {
				fmt.Fprintf(&b, "    %s\n", w.Witness)
			}
		}
	}
	return b.String()
}

// sortedKeys returns the keys of a map in order.
func sortedKeys[K ~string, V any](m map[K]V) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// stamp returns the text of a time since the recorder's base.
func stamp(ns int64) string {
	return time.Duration(ns).Round(time.Microsecond).String()
}
