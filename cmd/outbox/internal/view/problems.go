package view

import (
	"fmt"
	"slices"
	"time"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/pgstore"
)

// stall is how long events may wait, and a relay must have run, before their destination is reported as a problem. The
// schedule starts a relay each minute.
const stall = time.Minute

// Problem is something in the state of the outbox that an operator should know. Its Message says also what to do
// about it.
type Problem struct {
	// Code is a word that programs can compare. It never changes.
	Code    string `json:"code"`
	Message string `json:"message"`

	severity severity
}

// severity is the first words of a problem in text.
type severity string

const (
	hint    severity = "note"
	warning severity = "warning"
	failed  severity = "check failed"
)

func (s severity) shade() shade {
	switch s {
	case warning:
		return yellow
	case failed:
		return red
	case hint:
	}
	return faint
}

func (s *Status) add(severity severity, code, format string, args ...any) {
	s.Problems = append(s.Problems, Problem{Code: code, Message: fmt.Sprintf(format, args...), severity: severity})
}

// Warn adds a warning, which the caller found, to the problems of the status.
func (s *Status) Warn(code, message string) { s.add(warning, code, "%s", message) }

func (s *Status) findProblems() {
	if known := pgstore.Version(); s.SchemaVersion > known {
		s.add(warning, "schema_newer", "the schema has version %d, newer than the %d that this program knows: upgrade the outbox command", s.SchemaVersion, known)
	}
	live, oldestRelay := 0, time.Duration(0)
	for i := range s.Relays {
		if r := &s.Relays[i]; r.State != lapsed {
			live++
			oldestRelay = max(oldestRelay, r.age)
		} else {
			s.add(warning, "relay_lapsed", "relay %s stopped renewing its lease %s ago; the next relay takes its shards over", Printable(r.Name), Duration(-r.lease))
		}
	}
	switch {
	case live == 0 && s.Pending > 0:
		s.add(warning, "no_relay", "no relay is running and events wait: the schedule starts one each minute; "+
			"if none comes, check that the schedule is enabled, and the log of the relay function")
	case live == 0:
		s.add(hint, "no_relay", "no relay is running: that is normal between two ticks when OUTBOX_IDLE_EXIT is set, else check the schedule")
	case len(s.ShardsWithoutOwner) > 0:
		slices.Sort(s.ShardsWithoutOwner)
		s.add(hint, "shards_without_owner", "shards %s have no relay at this moment: running relays take them within seconds; look again", Ranges(s.ShardsWithoutOwner))
	}
	for _, d := range s.Destinations {
		switch {
		case d.Unknown:
			s.add(warning, "unknown_destination", "events wait for %q, which no relay is configured for: add it to OUTBOX_DESTINATIONS, or correct what writes it", d.Destination)
		case oldestRelay > stall && d.oldest > stall:
			s.add(warning, "destination_waits", "events for %q have waited for %s though a relay runs: "+
				"the destination may refuse or throttle, or their aggregates are blocked; the log of the relay says which",
				d.Destination, Duration(d.oldest))
		}
	}
	if s.DeadLetters > 0 {
		s.add(warning, "dead_letters", "%s: see why with: outbox dead list; bring them back with: outbox redrive --source dead_letters",
			plural(int64(s.DeadLetters), "dead letter", "dead letters"))
	}
	if s.BlockedAggregates > 0 {
		s.add(warning, "blocked_aggregates", "%s: see which with: outbox blocked list; let them go on with: outbox blocked release",
			plural(int64(s.BlockedAggregates), "aggregate is blocked behind a dead letter", "aggregates are blocked behind dead letters"))
	}
	if s.PendingCapped {
		s.add(hint, "pending_capped", "only the first %s pending events were looked at: raise --limit to count more", Count(int64(s.Pending)))
	}
}

// Limits are the highest values that Check allows. A negative limit allows any value.
type Limits struct {
	// Age is the highest age of the oldest pending event.
	Age time.Duration
	// DeadLetters, Blocked and Pending are the most dead letters, blocked aggregates and pending events.
	DeadLetters, Blocked, Pending int
}

// Check adds a problem to the status for each limit that is exceeded, and returns true when none is. A value that
// equals its limit is within it.
func (s *Status) Check(l Limits) bool {
	before := len(s.Problems)
	if l.Age >= 0 && s.oldest > l.Age {
		s.add(failed, "max_age", "the oldest pending event is %s old, more than %s", Duration(s.oldest), Duration(l.Age))
	}
	for _, limit := range []struct {
		code, one, many string
		got, allowed    int
	}{
		{"max_dead_letters", "dead letter", "dead letters", s.DeadLetters, l.DeadLetters},
		{"max_blocked", "blocked aggregate", "blocked aggregates", s.BlockedAggregates, l.Blocked},
		{"max_pending", "pending event", "pending events", s.Pending, l.Pending},
	} {
		if limit.allowed >= 0 && limit.got > limit.allowed {
			s.add(failed, limit.code, "%s, more than %s", plural(int64(limit.got), limit.one, limit.many), Count(int64(limit.allowed)))
		}
	}
	return len(s.Problems) == before
}
