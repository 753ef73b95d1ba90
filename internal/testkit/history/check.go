package history

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/google/uuid"
)

// Config sets how a history is judged. The zero value has the defaults of all fields.
type Config struct {
	// ReadAhead is how long a relay may keep an event in memory between reading it and
	// its acceptance. A row that became visible only after an event with a greater id
	// began to commit must precede that event only when the row had been visible for
	// longer than ReadAhead at the event's acceptance. Negative means no time at all. 0 is
	// the default, 1 s.
	ReadAhead time.Duration
	// InFlight is how long after a [Cause] without Events the broker may still accept a
	// request that was under way: the cause explains a resend only of sends that were
	// accepted by then. Defaults to 2 s.
	InFlight time.Duration
}

const (
	defaultReadAhead = time.Second
	defaultInFlight  = 2 * time.Second
)

// witnesses is how many violations of each kind the verdict describes: the first found.
const witnesses = 5

// Check judges what was recorded so far as a finished history: a committed event that is
// not accepted yet counts as lost. It takes some seconds for a million events, in which
// calls that record wait. It changes nothing, so it may be called again.
func (r *Recorder) Check(c Config) *Verdict {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case c.ReadAhead == 0:
		c.ReadAhead = defaultReadAhead
	case c.ReadAhead < 0:
		c.ReadAhead = 0
	}
	c.InFlight = cmp.Or(c.InFlight, defaultInFlight)
	j := &judge{
		Recorder:    r,
		config:      c,
		bySend:      order(r.sends),
		firstSend:   make([]int32, len(r.events)),
		latestFirst: make([]int32, len(r.events)),
		sent:        map[int32]int{},
		own:         map[int32][]cause{},
		verdict: &Verdict{
			Causes:     map[CauseKind]int{},
			Violations: map[Kind]int{},
			Latency:    map[string]Latency{},
		},
	}
	j.recording()
	j.origins()
	j.perSend()
	j.perEvent()
	j.duplicates()
	j.lanes()
	j.receipts()
	return j.verdict
}

// order returns the indices of sends, sorted by event, within an event by time, and at one time by index.
func order(sends []send) []int32 {
	by := make([]int32, len(sends))
	for i := range by {
		by[i] = int32(i)
	}
	slices.SortFunc(by, func(x, y int32) int {
		a, b := &sends[x], &sends[y]
		return cmp.Or(cmp.Compare(a.event, b.event), cmp.Compare(a.at, b.at), cmp.Compare(x, y))
	})
	return by
}

// judge is one judgement of a recorder's history. Check calls its methods in a fixed order, since later ones use what
// earlier ones have found.
type judge struct {
	*Recorder          // locked while the judge works
	config    Config   // with the defaults set
	verdict   *Verdict // filled by the methods
	// bySend has the indices of sends, sorted by event and then by time.
	bySend []int32
	// firstSend has, for each event, one plus the index of its first send that was not suppressed, and 0 when
	// there is none. latestFirst is the same of the sends under the newest deduplication id of the event (of its
	// latest replay, if any) or under an unreadable one.
	firstSend   []int32
	latestFirst []int32
	// everyone has the causes that concern all events, and own, by event, those that name it, each sorted by time.
	everyone []cause
	own      map[int32][]cause
	// sent has the number of sends of each event in own, suppressed ones included.
	sent map[int32]int
}

// fail counts a violation in the verdict, and adds the witness, which says what happened to the events, to the first
// violations of the kind.
func (j *judge) fail(kind Kind, witness string, events ...uuid.UUID) {
	j.verdict.Violations[kind]++
	if j.verdict.Violations[kind] <= witnesses {
		j.verdict.Witnesses = append(j.verdict.Witnesses, Violation{Kind: kind, Events: events, Witness: witness})
	}
}

// recording counts the causes by kind, fills everyone and own, and fails as Malformed what was found wrong while
// recording and every row that two committed events share.
func (j *judge) recording() {
	for _, m := range j.malformed {
		j.fail(Malformed, m)
	}
	causes := slices.SortedStableFunc(slices.Values(j.causes), func(a, b cause) int { return cmp.Compare(a.at, b.at) })
	for _, c := range causes {
		j.verdict.Causes[c.kind]++
		if c.event < 0 {
			j.everyone = append(j.everyone, c)
		} else {
			j.own[c.event] = append(j.own[c.event], c)
		}
	}
	for _, n := range j.replays {
		j.verdict.Causes[Replay] += int(n)
	}
	rows := make(map[int64]int32, len(j.events))
	for i := range j.events {
		e := &j.events[i]
		if e.origin != committed {
			continue
		}
		if other, ok := rows[e.row]; ok {
			j.fail(Malformed, fmt.Sprintf("row %d was written as event %s and as event %s", e.row, j.events[other].id, e.id), j.events[other].id, e.id)
		}
		rows[e.row] = int32(i)
	}
}

// origins counts the committed, the rolled back and the undone events, those in doubt by their final states, and
// fails as Phantom a row of an event that was rolled back, undone or never written.
func (j *judge) origins() {
	for i := range j.events {
		e := &j.events[i]
		if e.state != Absent && (e.origin == unwritten || e.origin == rolledBack || e.origin == undone) {
			j.fail(Phantom, fmt.Sprintf("event %s was %s but its row is %s", e.id, e.origin, e.state), e.id)
		}
		switch {
		case j.written(e):
			j.verdict.Committed++
		case e.origin == undone:
			j.verdict.Undone++
		case e.origin != unwritten:
			j.verdict.RolledBack++
		}
	}
}

// written reports whether the event was committed. One whose commit got no answer counts as committed when its row was
// found at the end.
func (j *judge) written(e *event) bool {
	return e.origin == committed || e.origin == inDoubt && e.state != Absent
}

// String returns how the transaction that wrote an event ended, such as "rolled back", for the text of a violation.
func (o origin) String() string {
	return [...]string{unwritten: "never written", committed: "committed", inDoubt: "in doubt", rolledBack: "rolled back", undone: "undone"}[o]
}

// groupKey is a group id at a destination, both as indices of words.
type groupKey struct {
	destination, word int32
}

// perSend judges destination, deduplication id, group and body of each acceptance, and fills firstSend, latestFirst
// and sent. An acceptance of an event that was not committed, or at a wrong destination, fails and fills nothing. One of
// an undone event fills nothing either, and is no fault.
func (j *judge) perSend() {
	owner := map[groupKey]int32{}
	groups := map[int32]int32{}
	for _, n := range j.bySend {
		s := &j.sends[n]
		e := &j.events[s.event]
		j.verdict.Sends++
		if s.suppressed {
			j.verdict.Suppressed++
		}
		if e.origin == undone {
			continue
		}
		if !j.written(e) {
			j.fail(Phantom, fmt.Sprintf("event %s was %s but %s accepted it at %s", e.id, e.origin, j.words[s.destination], stamp(s.at)), e.id)
			continue
		}
		lane := &j.laneKeys[e.lane]
		if got := j.words[s.destination]; got != lane.Destination {
			j.fail(WrongDestination, fmt.Sprintf("event %s is for %q but %q accepted it", e.id, lane.Destination, got), e.id)
			continue
		}
		if s.generation == unreadable || s.generation > j.replays[s.event] {
			got := j.words[s.dedup]
			if s.generation != unreadable {
				got = fmt.Sprintf("%s#r%d", e.id, s.generation)
			}
			j.fail(DeduplicationChanged, fmt.Sprintf("event %s was sent with deduplication id %q after %d replays", e.id, got, j.replays[s.event]), e.id)
		}
		j.group(owner, groups, s, e)
		if len(j.own[s.event]) > 0 {
			j.sent[s.event]++
		}
		if s.sum != 0 && e.sum != 0 && s.sum != e.sum {
			j.fail(Altered, fmt.Sprintf("event %s was accepted with another body than its payload", e.id), e.id)
		}
		if s.suppressed {
			continue
		}
		if first := j.firstSend[s.event]; first == 0 || j.precedes(s, &j.sends[first-1]) {
			j.firstSend[s.event] = n + 1
		}
		// A wrong deduplication id is a fault of its own, not also a loss.
		current := s.generation == j.replays[s.event] || s.generation == unreadable
		if current && j.latestFirst[s.event] == 0 {
			j.latestFirst[s.event] = n + 1
		}
	}
}

// precedes reports whether a was accepted before b, by sequence numbers if both have one in the same group, else by
// time. Both are sends of one event.
func (j *judge) precedes(a, b *send) bool {
	if a.group == b.group && a.numbered() && b.numbered() {
		return a.compareSequence(b) < 0
	}
	return a.at < b.at
}

// numbered reports whether the broker gave the send a sequence number.
func (s *send) numbered() bool { return s.seqHigh != 0 || s.seqLow != 0 }

// compareSequence returns a negative number, 0 or a positive one as the sequence number of s is smaller than, equal
// to or greater than that of o.
func (s *send) compareSequence(o *send) int {
	return cmp.Or(cmp.Compare(s.seqHigh, o.seqHigh), cmp.Compare(s.seqLow, o.seqLow))
}

// group fails as WrongGroup the send s of event e when its group is not the event's, when an earlier send of the lane
// had another group, or when an earlier send of another lane had this one. groups has the group of each lane so far,
// and owner the lane of each group; it adds to both.
func (j *judge) group(owner map[groupKey]int32, groups map[int32]int32, s *send, e *event) {
	got := j.words[s.group]
	if e.group != 0 && e.group != s.group {
		j.fail(WrongGroup, fmt.Sprintf("event %s was sent in group %q, not %q", e.id, got, j.words[e.group]), e.id)
		return
	}
	if known, ok := groups[e.lane]; !ok {
		groups[e.lane] = s.group
	} else if known != s.group {
		j.fail(WrongGroup, fmt.Sprintf("lane %v sent in group %q and, with event %s, in group %q", j.laneKeys[e.lane], j.words[known], e.id, got), e.id)
	}
	key := groupKey{destination: s.destination, word: s.group}
	if lane, ok := owner[key]; !ok {
		owner[key] = e.lane
	} else if lane != e.lane {
		j.fail(WrongGroup, fmt.Sprintf("group %q was used by lane %v and, with event %s, by lane %v", got, j.laneKeys[lane], e.id, j.laneKeys[e.lane]), e.id)
	}
}

// perEvent compares the acceptances of each committed event with its final state, and sets the verdict's Accepted,
// DeadLetters, Blocked, AcceptedAndDead and Latency.
func (j *judge) perEvent() {
	latency := map[string]*hdrhistogram.Histogram{}
	for i := range j.events {
		e := &j.events[i]
		if !j.written(e) {
			continue
		}
		if first := j.firstSend[i]; first != 0 {
			j.verdict.Accepted++
			name := j.laneKeys[e.lane].Destination
			h, ok := latency[name]
			if !ok {
				h = hdrhistogram.New(1, int64(24*time.Hour/time.Microsecond), 3)
				latency[name] = h
			}
			us := (j.sends[first-1].at - e.began) / int64(time.Microsecond)
			// A value outside the range is a day or more: it counts as a day.
			_ = h.RecordValue(min(max(us, 1), h.HighestTrackableValue()))
		}
		j.settled(int32(i), e)
	}
	for name, h := range latency {
		ms := func(us int64) float64 { return float64(us) / 1000 }
		j.verdict.Latency[name] = Latency{
			Count: h.TotalCount(),
			P50:   ms(h.ValueAtQuantile(50)),
			P90:   ms(h.ValueAtQuantile(90)),
			P99:   ms(h.ValueAtQuantile(99)),
			P999:  ms(h.ValueAtQuantile(99.9)),
			Max:   ms(h.Max()),
		}
	}
}

// settled compares the final state of event e, whose index is i, with whether it was accepted since its latest
// replay, if any.
func (j *judge) settled(i int32, e *event) {
	accepted := j.latestFirst[i] != 0
	switch e.state {
	case Dead:
		j.verdict.DeadLetters++
	case Blocked:
		j.verdict.Blocked++
	case Absent, Pending, Sent:
	}
	switch {
	case e.state == Sent && !accepted:
		j.fail(MarkedNotAccepted, fmt.Sprintf("event %s (row %d of %v) is marked sent but was never accepted", e.id, e.row, j.laneKeys[e.lane]), e.id)
	case (e.state == Dead || e.state == Blocked) && accepted && len(j.own[i]) > 0 && len(j.own[i]) >= j.sent[i]:
		j.verdict.AcceptedAndDead++
	case e.state != Sent && accepted:
		j.fail(AcceptedNotMarked, fmt.Sprintf("event %s (row %d of %v) was accepted at %s but its row is %s",
			e.id, e.row, j.laneKeys[e.lane], stamp(j.sends[j.latestFirst[i]-1].at), e.state), e.id)
	case e.state == Absent || e.state == Pending:
		j.fail(Lost, fmt.Sprintf("event %s (row %d of %v) was committed at %s, never accepted, and its row is %s", e.id, e.row, j.laneKeys[e.lane], stamp(e.done), e.state), e.id)
	case (e.state == Dead || e.state == Blocked) && !e.reasoned:
		j.fail(Unexplained, fmt.Sprintf("event %s (row %d of %v) is %s without a reason", e.id, e.row, j.laneKeys[e.lane], e.state), e.id)
	}
}
