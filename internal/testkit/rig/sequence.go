//go:build unix

package rig

import (
	"fmt"

	"github.com/google/uuid"
)

// Backward returns a line for each event, of those for which judged is true, that the broker first accepted with an
// attribute sequence that was not above those of all events of its group that it had accepted before: a consumer that
// keeps the last state would take that event for an old one. Writers must have waited for each other.
func (j *Journal) Backward(judged func(uuid.UUID) bool) []string {
	type group struct{ destination, id string }
	j.mu.Lock()
	defer j.mu.Unlock()
	var found []string
	highest := map[group]*acceptance{}
	seen := map[uuid.UUID]bool{}
	for i := range j.accepted {
		a := &j.accepted[i]
		if a.Suppressed || seen[a.Event] {
			continue
		}
		seen[a.Event] = true
		of := group{a.Destination, a.Group}
		before := highest[of]
		if before != nil && a.Sequence <= before.Sequence {
			if judged(a.Event) {
				found = append(found, fmt.Sprintf("event %s of group %s at %s has the sequence %d, after event %s with %d",
					a.Event, a.Group, a.Destination, a.Sequence, before.Event, before.Sequence))
			}
			continue
		}
		highest[of] = a
	}
	return found
}
