//go:build unix

package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest/awsfake"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest/history"
)

//go:embed finals.sql
var finalsSQL string

// inFlight is how long after a fault a request that was under way may still be
// accepted, and slack how far the clocks of a fault and of what it hit may be
// apart.
const (
	inFlight = sendTimeout + 400*time.Millisecond
	slack    = 200 * time.Millisecond
)

// journal records the history of a run, and the faults with the time that each
// was in effect. From both it derives, when all has come to rest, which single
// events each fault may have caused to be sent again: no others are excused.
type journal struct {
	*history.Recorder
	tamper func(n int, a history.Acceptance) []history.Acceptance

	mu           sync.Mutex
	destinations map[string]string // by topic and queue
	calls        int
	accepted     []acceptance
	written      map[uuid.UUID]time.Time
	sent         map[uuid.UUID]time.Time
	faults       []fault
	kills        []time.Time
}

// acceptance is a send that the broker took.
type acceptance struct {
	Event       uuid.UUID `json:"event"`
	Destination string    `json:"destination"`
	At          time.Time `json:"at"`
	Suppressed  bool      `json:"suppressed"`
}

// fault is what may explain resends.
type fault struct {
	kind     kind
	from, to time.Time
}

func newJournal(tamper func(int, history.Acceptance) []history.Acceptance) *journal {
	if tamper == nil {
		tamper = func(_ int, a history.Acceptance) []history.Acceptance { return []history.Acceptance{a} }
	}
	return &journal{
		Recorder: history.New(), tamper: tamper,
		destinations: map[string]string{}, written: map[uuid.UUID]time.Time{}, sent: map[uuid.UUID]time.Time{},
	}
}

func (j *journal) setDestinations(arns map[string]string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for name, arn := range arns {
		j.destinations[arn[strings.LastIndexByte(arn, ':')+1:]] = name
	}
}

// wrote notes when events were written, before their commit.
func (j *journal) wrote(at time.Time, events []history.Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for i := range events {
		j.written[events[i].EventID] = at
	}
}

// onAccepted is told by the fake, in order. What a topic hands to its queues is
// no send of the relay. A queue that is made again numbers from the start, so
// the order of the calls counts, not the sequence number.
func (j *journal) onAccepted(a awsfake.Accepted) {
	if a.Source != "client" {
		return
	}
	id, err := uuid.Parse(a.Attributes[outbox.AttributeEventID])
	if err != nil {
		id = uuid.Nil // The checker reports an event that nobody wrote.
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	told := j.tamper(j.calls, history.Acceptance{
		EventID: id, DeduplicationID: a.DeduplicationID, Destination: j.destinations[a.Name], Group: a.GroupID,
		MessageID: a.MessageID, At: a.At, Suppressed: a.Suppressed, Sum: history.Sum([]byte(a.Body)),
	})
	j.calls++
	for _, t := range told {
		j.accepted = append(j.accepted, acceptance{Event: t.EventID, Destination: t.Destination, At: t.At, Suppressed: t.Suppressed})
		j.Accepted(t)
	}
}

// excuse notes that a fault was in effect from one time to another.
func (j *journal) excuse(k kind, from, to time.Time) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.faults = append(j.faults, fault{kind: k, from: from, to: to})
}

func (j *journal) killed(at time.Time) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.kills = append(j.kills, at)
}

// failovers returns the time from each kill to the first acceptance afterwards,
// for the kills with no other fault in between. A request of the dead relay
// that the broker had already read is not one.
func (j *journal) failovers(until time.Time) []time.Duration {
	const read = 50 * time.Millisecond
	j.mu.Lock()
	defer j.mu.Unlock()
	var took []time.Duration
	for _, kill := range j.kills {
		i := slices.IndexFunc(j.accepted, func(a acceptance) bool { return a.At.After(kill.Add(read)) })
		if i < 0 || j.accepted[i].At.After(until) {
			continue
		}
		first := j.accepted[i].At
		alone := 0
		for _, f := range j.faults {
			if f.from.Before(first) && f.to.After(kill.Add(-time.Second)) {
				alone++
			}
		}
		if alone == 1 {
			took = append(took, first.Sub(kill))
		}
	}
	return took
}

// finish tells the recorder where each row ended, and the causes.
func (j *journal) finish(ctx context.Context, pool *pgxpool.Pool) error {
	rows, err := pool.Query(ctx, finalsSQL)
	if err != nil {
		return fmt.Errorf("read the final states: %w", err)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	states := map[string]history.State{"sent": history.Sent, "pending": history.Pending, "blocked": history.Blocked, "dead": history.Dead}
	var id uuid.UUID
	var destination, aggregateType, aggregateID, state, messageID, sequence, reason string
	var sentAt *time.Time
	_, err = pgx.ForEachRow(rows, []any{&id, &destination, &aggregateType, &aggregateID, &state, &messageID, &sequence, &sentAt, &reason}, func() error {
		j.Final(history.Final{EventID: id, State: states[state], MessageID: messageID, Reason: reason})
		if sentAt != nil {
			j.sent[id] = *sentAt
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read the final states: %w", err)
	}
	for _, f := range j.faults {
		j.causes(f)
	}
	return nil
}

// causes records what one fault explains.
func (j *journal) causes(f fault) {
	switch f.kind.effect {
	case harmless:
	case lossy:
		// Each acceptance meanwhile may have lost its answer.
		for _, a := range j.accepted {
			if !a.At.Before(f.from.Add(-slack)) && !a.At.After(f.to.Add(inFlight)) {
				j.Cause(history.Cause{Kind: history.UnknownOutcome, At: a.At.Add(1), Events: []uuid.UUID{a.Event}})
			}
		}
	case unsettled:
		j.unsettled(f)
	case frozen:
		j.unsettled(f)
		j.late(f)
	}
}

// unsettled excuses one resend of the events that were accepted and not marked
// while the fault was in effect.
func (j *journal) unsettled(f fault) {
	kind := history.Crash
	if f.kind.area == database {
		kind = history.SettleFailed
	}
	seen := map[uuid.UUID]bool{}
	for _, a := range j.accepted {
		marked, isMarked := j.sent[a.Event]
		if seen[a.Event] || a.At.After(f.to.Add(inFlight)) || isMarked && marked.Before(f.from.Add(-slack)) {
			continue
		}
		seen[a.Event] = true
		at := a.At.Add(1)
		if f.from.After(at) {
			at = f.from
		}
		j.Cause(history.Cause{Kind: kind, At: at, Events: []uuid.UUID{a.Event}})
	}
}

// late excuses a request that had left the relay when it froze, and went on
// when it woke: it carries an event that was written by then and that another
// relay sent meanwhile.
func (j *journal) late(f fault) {
	seen := map[uuid.UUID]bool{}
	for _, a := range j.accepted {
		if seen[a.Event] || a.At.Before(f.from) || a.At.After(f.to.Add(inFlight)) || !j.written[a.Event].Before(f.from) {
			continue
		}
		seen[a.Event] = true
		j.Cause(history.Cause{Kind: history.LeaseLost, At: f.to, Events: []uuid.UUID{a.Event}})
	}
}

// trace writes the acceptances and the faults, for reading.
func (j *journal) trace(out io.Writer) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	e := json.NewEncoder(out)
	for _, f := range j.faults {
		if err := e.Encode(map[string]any{"fault": f.kind.name, "from": f.from, "to": f.to}); err != nil {
			return err
		}
	}
	for i := range j.accepted {
		a := &j.accepted[i]
		if err := e.Encode(map[string]any{
			"event": a.Event, "destination": a.Destination, "accepted": a.At, "suppressed": a.Suppressed,
			"written": j.written[a.Event], "marked": j.sent[a.Event],
		}); err != nil {
			return err
		}
	}
	return nil
}
