//go:build unix

package isolation

import (
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/history"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

// watched is the destination at which the quiet aggregates are measured. A fault in another place must not slow
// it down.
const watched = outbox.DefaultDestination

// meter measures, by phase, the time from commit to acceptance of each event of a quiet
// aggregate at the watched destination.
type meter struct {
	mu     sync.Mutex
	phase  int
	open   map[uuid.UUID]sample
	took   map[int][]time.Duration // times from commit to acceptance, by phase
	stamps []time.Time             // the time of each acceptance, of any event
}

// sample is the phase in which the commit of an event began, and when, while the event is not accepted yet.
type sample struct {
	phase int
	at    time.Time
}

func newMeter() *meter { return &meter{open: map[uuid.UUID]sample{}, took: map[int][]time.Duration{}} }

// next begins a phase and returns its number: events whose commit begins from now on belong to it.
func (m *meter) next() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.phase++
	return m.phase
}

// quiet records, right before their commit, that the events in rows belong to the current phase. began is the
// time of the commit; events of other destinations than watched are left out.
func (m *meter) quiet(began time.Time, rows []history.Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range rows {
		if rows[i].Lane.Destination == watched {
			m.open[rows[i].EventID] = sample{m.phase, began}
		}
	}
}

// accepted records the time of an acceptance by the broker, and the time from commit to acceptance if the event
// was recorded by quiet and is accepted for the first time.
func (m *meter) accepted(a history.Acceptance) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stamps = append(m.stamps, a.At)
	s, known := m.open[a.EventID]
	if !known {
		return
	}
	delete(m.open, a.EventID)
	m.took[s.phase] = append(m.took[s.phase], a.At.Sub(s.at))
}

// unsent returns how many events of the phase were recorded by quiet and are not accepted yet.
func (m *meter) unsent(phase int) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for _, s := range m.open {
		if s.phase == phase {
			n++
		}
	}
	return n
}

// of returns, sorted, the times from commit to acceptance of the events that were committed in the given
// phases.
func (m *meter) of(phases ...int) []time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []time.Duration
	for _, p := range phases {
		all = append(all, m.took[p]...)
	}
	slices.Sort(all)
	return all
}

// pause returns the longest time between two consecutive acceptances, of any event, among those that overlap the
// span between from and to; 0 when none does.
func (m *meter) pause(from, to time.Time) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	longest := time.Duration(0)
	for i := 1; i < len(m.stamps); i++ {
		if m.stamps[i].After(from) && m.stamps[i-1].Before(to) {
			longest = max(longest, m.stamps[i].Sub(m.stamps[i-1]))
		}
	}
	return longest
}
