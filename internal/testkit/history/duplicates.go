package history

import (
	"cmp"
	"fmt"
	"slices"
)

// duplicates judges the sends of each committed event: mark compares their message ids with the row, and chain looks
// for a cause of each send that repeats a deduplication id.
func (j *judge) duplicates() {
	for from := 0; from < len(j.bySend); {
		to := from + 1
		for to < len(j.bySend) && j.sends[j.bySend[to]].event == j.sends[j.bySend[from]].event {
			to++
		}
		chain := j.bySend[from:to]
		from = to
		i := j.sends[chain[0]].event
		if !j.written(&j.events[i]) {
			continue
		}
		j.mark(&j.events[i], chain)
		if len(chain) == 1 && j.sends[chain[0]].generation <= 0 {
			continue
		}
		j.chain(&j.events[i], chain, j.own[i])
	}
}

// chain judges the sends of event e: it fails as Duplicated each send that repeats the deduplication id of an earlier
// one and has no cause left. chain has the indices of the sends in order of time, own the causes that name e.
// Sends to a wrong destination are left out. It counts the others that repeat one as DuplicatesWithCause, and the first
// send of each replay as Replayed.
func (j *judge) chain(e *event, chain []int32, own []cause) {
	last := map[int32]*send{}
	spent := map[int]bool{}
	for _, n := range chain {
		s := &j.sends[n]
		if j.words[s.destination] != j.laneKeys[e.lane].Destination {
			continue
		}
		before := last[s.generation]
		last[s.generation] = s
		if before == nil {
			if s.generation > 0 {
				j.verdict.Replayed++
			}
			continue
		}
		if j.explained(before, s, &own, spent) {
			j.verdict.DuplicatesWithCause++
			continue
		}
		how := "accepted"
		if s.suppressed {
			how = "accepted and suppressed"
		}
		j.fail(Duplicated, fmt.Sprintf("event %s (row %d of %v) was accepted at %s and %s again at %s, with no cause between",
			e.id, e.row, j.laneKeys[e.lane], stamp(before.at), how, stamp(s.at)), e.id)
	}
}

// explained reports whether a cause explains that s follows the send before, and uses that cause up for their event:
// it takes the first cause off own, or else notes the index of one of j.everyone in spent. A cause of own may be of any
// time up to s; one of everyone is besides not older than the send before by more than InFlight.
func (j *judge) explained(before, s *send, own *[]cause, spent map[int]bool) bool {
	if len(*own) > 0 && (*own)[0].at <= s.at {
		*own = (*own)[1:]
		return true
	}
	// A relay that ended before the first send was under way cannot have forgotten that send.
	earliest := before.at - int64(j.config.InFlight)
	start, _ := slices.BinarySearchFunc(j.everyone, earliest, func(c cause, at int64) int { return cmp.Compare(c.at, at) })
	for k := start; k < len(j.everyone) && j.everyone[k].at <= s.at; k++ {
		if !spent[k] {
			spent[k] = true
			return true
		}
	}
	return false
}

// mark fails as Mismarked an event whose row is marked as sent with a message id that none of its sends got. chain
// has the indices of these sends. Nothing fails when the row or one of the sends has no message id.
func (j *judge) mark(e *event, chain []int32) {
	if e.state != Sent || e.messageID == "" {
		return
	}
	for _, n := range chain {
		if id := j.sends[n].messageID; id == "" || id == e.messageID {
			return
		}
	}
	j.fail(Mismarked, fmt.Sprintf("event %s (row %d of %v) is marked with message id %q, which none of its %d sends got",
		e.id, e.row, j.laneKeys[e.lane], e.messageID, len(chain)), e.id)
}
