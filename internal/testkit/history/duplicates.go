package history

import (
	"cmp"
	"fmt"
	"slices"
)

// duplicates looks for a cause of every send after the first of a generation, and
// compares the marks on rows with the message ids of their sends.
func (j *judge) duplicates() {
	everyone, own := j.sortedCauses()
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
		j.chain(&j.events[i], chain, everyone, own[i])
	}
}

// sortedCauses returns the causes that concern all events, and by event those that name it, each list sorted by time.
func (j *judge) sortedCauses() (everyone []cause, own map[int32][]cause) {
	own = map[int32][]cause{}
	for _, c := range j.causes {
		if c.event < 0 {
			everyone = append(everyone, c)
		} else {
			own[c.event] = append(own[c.event], c)
		}
	}
	byTime := func(a, b cause) int { return cmp.Compare(a.at, b.at) }
	slices.SortStableFunc(everyone, byTime)
	for _, list := range own {
		slices.SortStableFunc(list, byTime)
	}
	return everyone, own
}

// chain judges the sends of event e: it fails as Duplicated each send that repeats the deduplication id of an earlier
// one and has no cause left. chain has the indices of the sends in order of time, everyone the causes of all events,
// own those that name e. Sends to a wrong destination are left out.
func (j *judge) chain(e *event, chain []int32, everyone, own []cause) {
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
		if j.explained(before, s, everyone, &own, spent) {
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

// explained reports whether a cause explains that s follows the send before, and uses that cause up: it takes a cause
// out of own, or marks the index of one of everyone in spent, which is for one event. A cause of own may be of any
// time up to s; one of everyone is not older than the send before by more than InFlight. own comes first.
func (j *judge) explained(before, s *send, everyone []cause, own *[]cause, spent map[int]bool) bool {
	for k, c := range *own {
		if c.at <= s.at && (c.relay == 0 || before.relay == 0 || c.relay == before.relay) {
			*own = slices.Delete(slices.Clone(*own), k, k+1)
			return true
		}
	}
	// A relay that ended before the first send was under way cannot have forgotten that send.
	earliest := before.at - int64(j.config.InFlight)
	start, _ := slices.BinarySearchFunc(everyone, earliest, func(c cause, at int64) int { return cmp.Compare(c.at, at) })
	for k := start; k < len(everyone) && everyone[k].at <= s.at; k++ {
		c := everyone[k]
		if !spent[k] && (c.relay == 0 || before.relay == 0 || c.relay == before.relay) {
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
