package history

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Kind is what a violation breaks: a promise of the outbox, or, for Malformed, the recording itself.
type Kind string

const (
	// Lost: a committed event was not accepted (since its latest replay, if it had one),
	// and its row is pending or absent.
	Lost Kind = "lost"
	// Reordered: an event was first accepted after one of its lane with a greater row id
	// that it had to precede, or it is blocked, never accepted, and that one was accepted.
	Reordered Kind = "reordered"
	// Duplicated: an event was sent again without a cause.
	Duplicated Kind = "duplicated"
	// DeduplicationChanged: a send carried a deduplication id that is neither the event id
	// nor the one of a [Replay] that was recorded.
	DeduplicationChanged Kind = "deduplication_changed"
	// MarkedNotAccepted: a row is marked as sent but its event was not accepted (since its
	// latest replay, if it had one).
	MarkedNotAccepted Kind = "marked_not_accepted"
	// AcceptedNotMarked: an event was accepted but its row is not marked as sent. Not for
	// a dead or blocked event that has a cause of its own for every send.
	AcceptedNotMarked Kind = "accepted_not_marked"
	// Mismarked: a row carries a message id that none of its sends got.
	Mismarked Kind = "mismarked"
	// Phantom: a row, an acceptance or a receipt was seen of an event that was rolled back
	// or never written, a row of an event that was undone, or a receipt of an event that no
	// broker accepted.
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
	// ReceivedOutOfOrder: a consumer first received an event of a lane after one of the
	// lane that the broker had accepted later.
	ReceivedOutOfOrder Kind = "received_out_of_order"
	// Malformed: the recording contradicts itself and proves nothing; no promise of the
	// outbox is concerned.
	Malformed Kind = "malformed"
)

// Violation is one broken promise, or one contradiction in the recording.
type Violation struct {
	Kind Kind `json:"kind"`
	// Events are the fewest events that show the violation. It is empty when no event is known.
	Events []uuid.UUID `json:"events"`
	// Witness says in one line what happened to these events.
	Witness string `json:"witness"`
}

// Latency has quantiles, in milliseconds, of the time from the begin of an event's commit
// to its first acceptance. That is more than the time since the event became visible. A
// time is at least 1 microsecond and at most a day; Count is the number of events.
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
	// Committed and RolledBack count events by how their transactions ended, and those in
	// doubt by their final states.
	Committed  int `json:"committed"`
	RolledBack int `json:"rolled_back"`
	// Undone counts events whose commit a failover of the database lost, see [Recorder.Undo].
	Undone int `json:"undone,omitempty"`
	// Accepted counts events that a broker accepted at least once.
	Accepted int `json:"accepted"`
	// DeadLetters counts events that ended as dead letters, Blocked those that wait
	// behind one.
	DeadLetters int `json:"dead_letters"`
	Blocked     int `json:"blocked"`
	// AcceptedAndDead counts events that a broker accepted although they are
	// dead or blocked: each of their sends has a cause of its own.
	AcceptedAndDead int `json:"accepted_and_dead"`
	// Sends counts all acceptances, Suppressed those that the broker dropped as
	// duplicates, DuplicatesWithCause the repeated ones that a cause explains, and
	// Replayed the first one under each deduplication id of a replay.
	Sends               int `json:"sends"`
	Suppressed          int `json:"suppressed"`
	DuplicatesWithCause int `json:"duplicates_with_cause"`
	Replayed            int `json:"replayed"`
	// Received counts receipts, Redelivered those of an event that the
	// consumer had received before, which FIFO queues may do.
	Received    int `json:"received"`
	Redelivered int `json:"redelivered"`
	// Causes counts the recorded causes by kind: one for each event that a cause names, and
	// one for a cause of all events.
	Causes map[CauseKind]int `json:"causes"`
	// Violations counts every violation by kind; Witnesses has the first five of each kind.
	Violations map[Kind]int `json:"violations"`
	Witnesses  []Violation  `json:"witnesses"`
	// Latency is by destination, without those that accepted no event.
	Latency map[string]Latency `json:"latency"`
}

// OK reports that no promise was broken. A history without a committed event proves
// nothing and is not OK.
func (v *Verdict) OK() bool {
	return len(v.Violations) == 0 && v.Committed > 0
}

// String returns the report in several lines: the word OK, BROKEN or EMPTY (no event was committed) with the counts,
// the latency of each destination, and the violations with their witnesses.
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
	if v.Undone > 0 {
		fmt.Fprintf(&b, "  %d undone by a failover of the database\n", v.Undone)
	}
	for _, name := range slices.Sorted(maps.Keys(v.Latency)) {
		l := v.Latency[name]
		fmt.Fprintf(&b, "  %s: commit to accepted p50 %.1f ms, p90 %.1f ms, p99 %.1f ms, p99.9 %.1f ms, max %.1f ms (%d)\n",
			name, l.P50, l.P90, l.P99, l.P999, l.Max, l.Count)
	}
	for _, kind := range slices.Sorted(maps.Keys(v.Violations)) {
		fmt.Fprintf(&b, "  %s: %d\n", kind, v.Violations[kind])
		for _, w := range v.Witnesses {
			if w.Kind == kind {
				fmt.Fprintf(&b, "    %s\n", w.Witness)
			}
		}
	}
	return b.String()
}

// stamp returns the text of a time that is given in nanoseconds since Recorder.base, such as "1.5s".
func stamp(ns int64) string {
	return time.Duration(ns).Round(time.Microsecond).String()
}
