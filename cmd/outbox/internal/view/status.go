package view

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/google/uuid"

	"github.com/serverless-outbox/serverless-outbox/internal/pgadmin"
)

// Status is what the command status shows of an outbox. The names of its JSON fields never change.
type Status struct {
	Now                time.Time     `json:"now"`
	SchemaVersion      int64         `json:"schema_version"`
	Pending            int           `json:"pending"`
	PendingCapped      bool          `json:"pending_capped"`
	OldestSeconds      float64       `json:"oldest_seconds"`
	DeadLetters        int           `json:"dead_letters"`
	BlockedAggregates  int           `json:"blocked_aggregates"`
	Destinations       []Destination `json:"destinations"`
	Relays             []Relay       `json:"relays"`
	ShardsWithoutOwner []int         `json:"shards_without_owner"`
	Problems           []Problem     `json:"problems"`

	oldest time.Duration
}

// Destination is how many events of one destination are pending, and the age of the oldest.
type Destination struct {
	Destination   string  `json:"destination"`
	Pending       int     `json:"pending"`
	OldestSeconds float64 `json:"oldest_seconds"`
	// Unknown says that no relay is configured for the destination.
	Unknown bool `json:"unknown,omitempty"`

	oldest time.Duration
}

// Relay is a relay, its state and the shards that it owns.
type Relay struct {
	RelayID uuid.UUID `json:"relay_id"`
	Name    string    `json:"name"`
	// State is running, leaving (the relay gives its shards up), or lapsed (its lease ended, and no other relay has
	// taken its shards yet).
	State        string    `json:"state"`
	Shards       []int     `json:"shards"`
	StartedAt    time.Time `json:"started_at"`
	LeaseSeconds float64   `json:"lease_seconds"`
	RunSeconds   float64   `json:"run_seconds"`

	age, lease, run time.Duration
}

// The states of a relay.
const (
	running = "running"
	leaving = "leaving"
	lapsed  = "lapsed"
)

// NewStatus makes a Status of what the database returned, and finds the problems that need no limits. Ages are
// those at st.Now.
func NewStatus(st *pgadmin.Status) Status {
	s := Status{
		Now:                st.Now.UTC(),
		SchemaVersion:      st.SchemaVersion,
		Pending:            st.Pending,
		PendingCapped:      st.Pending >= st.PendingLimit,
		DeadLetters:        st.DeadLetters,
		BlockedAggregates:  st.Blocked,
		Destinations:       make([]Destination, 0, len(st.Destinations)),
		Relays:             make([]Relay, 0, len(st.Relays)),
		ShardsWithoutOwner: []int{},
		Problems:           []Problem{},
	}
	for _, d := range st.Destinations {
		age := st.Now.Sub(d.Oldest)
		s.Destinations = append(s.Destinations, Destination{
			Destination: d.Destination, Pending: d.Pending, OldestSeconds: seconds(age), Unknown: d.Unknown, oldest: age,
		})
		s.oldest = max(s.oldest, age)
	}
	s.OldestSeconds = seconds(s.oldest)

	owned := make(map[uuid.UUID][]int)
	for _, shard := range st.Shards {
		if shard.Owner != nil {
			owned[*shard.Owner] = append(owned[*shard.Owner], shard.Shard)
		} else {
			s.ShardsWithoutOwner = append(s.ShardsWithoutOwner, shard.Shard)
		}
	}
	for _, r := range st.Relays {
		relay := Relay{
			RelayID: r.RelayID, Name: r.Name, State: running, Shards: owned[r.RelayID], StartedAt: r.StartedAt.UTC(),
			age: st.Now.Sub(r.StartedAt), lease: r.LeaseUntil.Sub(st.Now), run: r.RunUntil.Sub(st.Now),
		}
		switch {
		case relay.lease <= 0:
			relay.State = lapsed
		case r.Leaving:
			relay.State = leaving
		}
		if relay.Shards == nil {
			relay.Shards = []int{}
		}
		relay.LeaseSeconds, relay.RunSeconds = seconds(relay.lease), seconds(relay.run)
		s.Relays = append(s.Relays, relay)
		delete(owned, r.RelayID)
	}
	// A shard whose owner has no row in outbox.relays is as free as one without an owner.
	for _, shards := range owned {
		s.ShardsWithoutOwner = append(s.ShardsWithoutOwner, shards...)
	}
	s.findProblems()
	return s
}

// JSON writes v as indented JSON. Characters of HTML are not escaped.
func JSON(w io.Writer, v any) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(v); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	return nil
}

// Text writes the status as text for people: the totals, tables of destinations and relays, and the problems.
func (s *Status) Text(w io.Writer, style Style) error {
	p := &printer{w: w}
	atLeast := ""
	if s.PendingCapped {
		atLeast = "at least "
	}
	p.line(style.paint(bold, atLeast+Count(int64(s.Pending))+" pending"), oldestOf(s), ", ",
		style.count(s.DeadLetters, "dead letter", "dead letters"), ", ",
		style.count(s.BlockedAggregates, "blocked aggregate", "blocked aggregates"))

	if len(s.Destinations) > 0 {
		p.line()
		rows := make([][]cell, 0, len(s.Destinations))
		for _, d := range s.Destinations {
			rows = append(rows, []cell{
				{text: Printable(d.Destination)}, {text: Count(int64(d.Pending))}, {text: Duration(d.oldest), shade: ageShade(d.oldest)},
			})
		}
		style.table(p, []column{{"DESTINATION", false}, {"PENDING", true}, {"OLDEST", true}}, rows)
	}

	p.line()
	rows := make([][]cell, 0, len(s.Relays)+1)
	for i := range s.Relays {
		rows = append(rows, s.Relays[i].row())
	}
	if len(s.ShardsWithoutOwner) > 0 {
		rows = append(rows, []cell{
			{text: "(no relay)", shade: faint}, {text: "-"}, {text: Ranges(s.ShardsWithoutOwner)}, {text: "-"}, {text: "-"}, {text: "-"},
		})
	}
	style.table(p, []column{{"RELAY", false}, {"STATE", false}, {"SHARDS", false}, {"LEASE LEFT", true}, {"RUNS FOR", true}, {"RUN LEFT", true}}, rows)

	if len(s.Problems) > 0 {
		p.line()
	}
	for _, problem := range s.Problems {
		p.line(style.paint(problem.severity.shade(), string(problem.severity)+":"), " ", problem.Message)
	}
	return p.failed()
}

// oldestOf returns the words of the first line of text about the oldest pending event, empty when none is pending.
func oldestOf(s *Status) string {
	if s.Pending == 0 {
		return ""
	}
	return ", oldest " + Duration(s.oldest)
}

func (r *Relay) row() []cell {
	state := cell{text: r.State, shade: green}
	switch r.State {
	case lapsed:
		state.shade = red
	case leaving:
		state.shade = yellow
	}
	shards := Ranges(r.Shards)
	if shards == "" {
		shards = "none"
	}
	return []cell{
		{text: Printable(r.Name)},
		state,
		{text: shards},
		{text: left(r.lease)},
		{text: Duration(r.age)},
		{text: left(r.run)},
	}
}

// left returns the duration d as text, or "over" when nothing is left.
func left(d time.Duration) string {
	if d <= 0 {
		return "over"
	}
	return Duration(d)
}

// count returns n with its noun, one when n is 1 and else many, in red when n is not zero.
func (s Style) count(n int, one, many string) string {
	c := plain
	if n > 0 {
		c = red
	}
	return s.paint(c, plural(int64(n), one, many))
}

// ageShade returns the colour for the age of a pending event: yellow above a minute (stall), else plain.
func ageShade(age time.Duration) shade {
	if age > stall {
		return yellow
	}
	return plain
}
