package history

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
)

// lanes judges the order of first acceptances within each lane, and has overtaken compare blocked events with them. It
// leaves out dead letters, and events that were first accepted in a replay.
func (j *judge) lanes() {
	accepted := make([]int32, 0, j.verdict.Accepted)
	for i := range j.events {
		// The lane of a dead letter goes on without it. An event that was replayed
		// before it was ever accepted was a dead letter, and one may have been
		// accepted without its relay's knowledge.
		first := j.firstSend[i]
		if first != 0 && j.sends[first-1].generation == 0 && j.events[i].state != Dead {
			accepted = append(accepted, int32(i))
		}
	}
	slices.SortFunc(accepted, func(a, b int32) int {
		return cmp.Or(cmp.Compare(j.events[a].lane, j.events[b].lane), cmp.Compare(a, b))
	})
	for from := 0; from < len(accepted); {
		to := from + 1
		for to < len(accepted) && j.events[accepted[to]].lane == j.events[accepted[from]].lane {
			to++
		}
		j.lane(accepted[from:to])
		from = to
	}
	j.overtaken(accepted)
}

// overtaken fails as Reordered each blocked event that was never accepted and had to be accepted before an event of
// its lane in accepted, which has indices. It leaves out blocked events that were replayed: they were dead letters.
func (j *judge) overtaken(accepted []int32) {
	blocked := map[int32][]int32{}
	for i := range j.events {
		if e := &j.events[i]; e.state == Blocked && j.written(e) && j.firstSend[i] == 0 && j.replays[int32(i)] == 0 {
			blocked[e.lane] = append(blocked[e.lane], int32(i))
		}
	}
	if len(blocked) == 0 {
		return
	}
	byRow := func(x, y int32) int { return cmp.Compare(j.events[y].row, j.events[x].row) }
	passed := map[int32][]int32{}
	for _, i := range accepted {
		passed[j.events[i].lane] = append(passed[j.events[i].lane], i)
	}
	for _, lane := range slices.Sorted(maps.Keys(blocked)) {
		waiting, sent := blocked[lane], passed[lane]
		slices.SortFunc(waiting, byRow)
		slices.SortFunc(sent, byRow)
		// Of all with a greater row, the last to begin its commit and the last
		// to be accepted.
		var began, late int32 = -1, -1
		for _, i := range waiting {
			e := &j.events[i]
			for len(sent) > 0 && j.events[sent[0]].row > e.row {
				b := sent[0]
				if began < 0 || j.events[b].began > j.events[began].began {
					began = b
				}
				if late < 0 || j.first(b).at > j.first(late).at {
					late = b
				}
				sent = sent[1:]
			}
			for _, b := range []int32{began, late} {
				if b >= 0 && j.due(e, &j.events[b], j.first(b)) {
					j.fail(Reordered, fmt.Sprintf("in lane %v row %d (event %s, visible by %s) is blocked, and row %d (event %s, commit began %s) was accepted at %s",
						j.laneKeys[e.lane], e.row, e.id, stamp(e.done), j.events[b].row, j.events[b].id, stamp(j.events[b].began), stamp(j.first(b).at)), e.id, j.events[b].id)
					break
				}
			}
		}
	}
}

// first returns the first unsuppressed send of event i, which must have one.
func (j *judge) first(i int32) *send { return &j.sends[j.firstSend[i]-1] }

// arrange sorts the events of one lane, each accepted, in place in the broker's order: by
// the sequence numbers of their first sends where all have one, else by time.
func (j *judge) arrange(events []int32) {
	numbered := !slices.ContainsFunc(events, func(i int32) bool { return !j.first(i).numbered() })
	slices.SortFunc(events, func(x, y int32) int {
		a, b := j.first(x), j.first(y)
		if numbered {
			return cmp.Or(a.compareSequence(b), cmp.Compare(j.firstSend[x], j.firstSend[y]))
		}
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(j.firstSend[x], j.firstSend[y]))
	})
}

// lane fails as Reordered each event of a lane that was accepted after one with a greater row id which it had to
// precede. It sorts events in the broker's order, and compares an event with those accepted earlier only as long as
// one of them can have a greater row id and be a fault: linear time, unless late rows are many and far apart.
func (j *judge) lane(events []int32) {
	if len(events) < 2 {
		return
	}
	j.arrange(events)
	// rows[k] and times[k] are the greatest row and time of events[:k+1].
	rows := make([]int64, len(events))
	times := make([]int64, len(events))
	for k, i := range events {
		e, s := &j.events[i], j.first(i)
		rows[k], times[k] = e.row, max(s.at, e.began)
		if k == 0 {
			continue
		}
		for back := k - 1; back >= 0 && rows[back] > e.row && times[back] >= e.done; back-- {
			b := &j.events[events[back]]
			if b.row <= e.row || !j.due(e, b, j.first(events[back])) {
				continue
			}
			j.fail(Reordered, fmt.Sprintf("in lane %v row %d (event %s, visible by %s) was accepted at %s after row %d (event %s, commit began %s, accepted at %s)",
				j.laneKeys[e.lane], e.row, e.id, stamp(e.done), stamp(s.at), b.row, b.id, stamp(b.began), stamp(j.first(events[back]).at)), e.id, b.id)
			break
		}
		rows[k], times[k] = max(rows[k], rows[k-1]), max(times[k], times[k-1])
	}
}

// due reports whether event a, which has the smaller row id, had to be accepted before event b, whose first
// acceptance is accepted: a was visible before b's commit began, or for longer than ReadAhead at that acceptance.
func (j *judge) due(a, b *event, accepted *send) bool {
	return a.done <= b.began || a.done+int64(j.config.ReadAhead) < accepted.at
}

// receipts judges what each declared consumer received, in the order of their names.
func (j *judge) receipts() {
	keys := slices.SortedFunc(maps.Keys(j.consumers), func(a, b consumerKey) int {
		return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.destination, b.destination))
	})
	if len(keys) == 0 {
		return
	}
	position := j.positions()
	for _, key := range keys {
		j.consumed(key, *j.consumers[key], position)
	}
}

// positions returns, by event, the place of its first acceptance in its lane, from 0, in the broker's order. The
// place of an event that was never accepted is 0 and means nothing.
func (j *judge) positions() []int32 {
	position := make([]int32, len(j.events))
	byLane := make([][]int32, len(j.laneKeys))
	for i := range j.events {
		if j.firstSend[i] != 0 {
			lane := j.events[i].lane
			byLane[lane] = append(byLane[lane], int32(i))
		}
	}
	for _, events := range byLane {
		j.arrange(events)
		for k, i := range events {
			position[i] = int32(k)
		}
	}
	return position
}

// consumed judges what one consumer received: order, bodies, events that no broker accepted, and events that the
// consumer's destination accepted and the consumer missed. list has its receipts in order, position what positions
// returns. A redelivery is counted and is no fault.
func (j *judge) consumed(key consumerKey, list []receipt, position []int32) {
	got := make([]bool, len(j.events))
	latest := make(map[int32]int32, len(j.laneKeys))
	for _, c := range list {
		e := &j.events[c.event]
		j.verdict.Received++
		if e.origin == undone {
			continue
		}
		if j.firstSend[c.event] == 0 {
			j.fail(Phantom, fmt.Sprintf("consumer %s received event %s, which no broker accepted", key.name, e.id), e.id)
			continue
		}
		if c.sum != 0 && e.sum != 0 && c.sum != e.sum {
			j.fail(Altered, fmt.Sprintf("consumer %s received event %s with another body than its payload", key.name, e.id), e.id)
		}
		if got[c.event] {
			j.verdict.Redelivered++
			continue
		}
		got[c.event] = true
		if before, ok := latest[e.lane]; ok && position[before] > position[c.event] {
			b := &j.events[before]
			j.fail(ReceivedOutOfOrder, fmt.Sprintf("consumer %s received row %d (event %s) of lane %v after row %d (event %s), which was accepted later",
				key.name, e.row, e.id, j.laneKeys[e.lane], b.row, b.id), e.id, b.id)
			continue
		}
		latest[e.lane] = c.event
	}
	for i := range j.events {
		if j.firstSend[i] != 0 && !got[i] && j.laneKeys[j.events[i].lane].Destination == key.destination {
			e := &j.events[i]
			j.fail(NotReceived, fmt.Sprintf("consumer %s never received event %s (row %d of %v), accepted at %s",
				key.name, e.id, e.row, j.laneKeys[e.lane], stamp(j.first(int32(i)).at)), e.id)
		}
	}
}
