package history

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/google/uuid"
)

// Config sets how a history is judged. The zero value is the strict judge.
type Config struct {
	// ReadAhead is how long a relay may hold an event between reading it and
	// its acceptance: a row that committed late is only expected before a
	// greater id when it had been visible for longer. Negative means 0.
	// Defaults to 1 s.
	ReadAhead time.Duration
	// InFlight is how long after a cause of a whole relay a request that was
	// under way may still be accepted. Defaults to 2 s.
	InFlight time.Duration
	// WithoutFinal judges a history that was not told the state of the rows:
	// then every committed event must have been accepted.
	WithoutFinal bool
	// Witnesses is how many witnesses of each kind are kept. Defaults to 5.
	Witnesses int
}

const (
	defaultReadAhead = time.Second
	defaultInFlight  = 2 * time.Second
	defaultWitnesses = 5
)

// Check judges what was recorded so far as a finished history. It takes some
// seconds for a million events and holds recording up meanwhile.
func (r *Recorder) Check(c Config) *Verdict {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case c.ReadAhead == 0:
		c.ReadAhead = defaultReadAhead
	case c.ReadAhead < 0:
		c.ReadAhead = 0
	}
	if c.InFlight == 0 {
		c.InFlight = defaultInFlight
	}
	if c.Witnesses == 0 {
		c.Witnesses = defaultWitnesses
	}
	j := &judge{
		Recorder:    r,
		config:      c,
		bySend:      order(r.sends),
		firstSend:   make([]int32, len(r.events)),
		latestFirst: make([]int32, len(r.events)),
		sent:        map[int32]int{},
		own:         map[int32]int{},
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

// order returns the indices of sends by event, and by time within an event.
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

type judge struct {
	*Recorder
	config  Config
	verdict *Verdict
	bySend  []int32
	// firstSend is the first unsuppressed send of each event, plus one;
	// latestFirst that of its latest generation.
	firstSend   []int32
	latestFirst []int32
	// own counts the causes of single events, sent the sends of those events.
	sent, own map[int32]int
}

func (j *judge) fail(kind Kind, witness string, events ...uuid.UUID) {
	j.verdict.Violations[kind]++
	if j.verdict.Violations[kind] <= j.config.Witnesses {
		j.verdict.Witnesses = append(j.verdict.Witnesses, Violation{Kind: kind, Events: events, Witness: witness})
	}
}

// recording judges the recording itself.
func (j *judge) recording() {
	for _, m := range j.malformed {
		j.fail(Malformed, m)
	}
	for i := range j.causes {
		j.verdict.Causes[j.causes[i].kind]++
		if event := j.causes[i].event; event >= 0 {
			j.own[event]++
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

// origins settles what was in doubt and finds rows that should not exist.
func (j *judge) origins() {
	for i := range j.events {
		e := &j.events[i]
		if e.state != Absent && (e.origin == unwritten || e.origin == rolledBack) {
			j.fail(Phantom, fmt.Sprintf("event %s was %s but its row is %s", e.id, e.origin, e.state), e.id)
		}
		switch {
		case j.written(e):
			j.verdict.Committed++
		case e.origin != unwritten:
			j.verdict.RolledBack++
		}
	}
}

// written says whether the event was committed as far as can be known.
func (j *judge) written(e *event) bool {
	return e.origin == committed || e.origin == inDoubt && e.state != Absent
}

func (o origin) String() string {
	switch o {
	case unwritten:
		return "never written"
	case committed:
		return "committed"
	case inDoubt:
		return "in doubt"
	case rolledBack:
		return "rolled back"
	}
	return "invalid"
}

type groupKey struct {
	destination, word int32
}

// perSend judges each acceptance by itself and finds the first of each event.
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
		if j.own[s.event] > 0 {
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

// precedes says whether a was accepted before b, both of one event.
func (j *judge) precedes(a, b *send) bool {
	if a.group == b.group && a.numbered() && b.numbered() {
		return a.compareSequence(b) < 0
	}
	return a.at < b.at
}

func (s *send) numbered() bool { return s.seqHigh != 0 || s.seqLow != 0 }

func (s *send) compareSequence(o *send) int {
	return cmp.Or(cmp.Compare(s.seqHigh, o.seqHigh), cmp.Compare(s.seqLow, o.seqLow))
}

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

// perEvent compares what was accepted with where the row ended.
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

func (j *judge) settled(i int32, e *event) {
	accepted := j.latestFirst[i] != 0
	if j.config.WithoutFinal {
		if !accepted {
			j.fail(Lost, fmt.Sprintf("event %s (row %d of %v) was committed at %s and never accepted", e.id, e.row, j.laneKeys[e.lane], stamp(e.done)), e.id)
		}
		return
	}
	switch e.state {
	case Dead:
		j.verdict.Dead++
	case Blocked:
		j.verdict.Blocked++
	case Absent, Pending, Sent:
	}
	switch {
	case e.state == Sent && !accepted:
		j.fail(MarkedNotAccepted, fmt.Sprintf("event %s (row %d of %v) is marked sent but was never accepted", e.id, e.row, j.laneKeys[e.lane]), e.id)
	case (e.state == Dead || e.state == Blocked) && accepted && j.own[i] > 0 && j.own[i] >= j.sent[i]:
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
