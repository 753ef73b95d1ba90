//go:build unix

package rig

import (
	"context"
	"encoding/json"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/history"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest/awsfake"
)

// ReadAhead is the [history.Config.ReadAhead] that runs are judged with: how long an event
// may be in a relay's memory before the broker accepts it. The longest fault, a lease and a
// back-off may pass until then, because an earlier event of its lane is tried again first.
const ReadAhead = 6 * time.Second

// inFlight is how long after a fault a request that was under way may still be
// accepted. slack is how far apart a fault and the mark of a row that it hit may be recorded.
const (
	inFlight = SendTimeout + 400*time.Millisecond
	slack    = 200 * time.Millisecond
)

// Effect is which resends a fault explains: at most one of each event that the fault may have hit, two if Frozen.
type Effect int

const (
	// Harmless: none. Those of outcomes that the relay recorded as unknown have their own causes.
	Harmless Effect = iota
	// Unsettled: the relay may have ended before it marked accepted events as sent.
	Unsettled
	// Unmarked: the database may have refused or lost the marks of accepted events.
	Unmarked
	// Frozen: as Unsettled, and a request that had left the relay may arrive late.
	Frozen
)

// Tamper returns the acceptances, none or several, that are recorded in the place of the n-th one, a, counted from 0.
// With it a test falsifies a history, to see that the judgement finds the fault.
type Tamper func(n int, a history.Acceptance) []history.Acceptance

// Journal records the history of a run, and the faults with the time that each was in
// effect. From both, Finish derives which single events each fault may have caused to be
// sent again. Other resends need a cause that the caller records in the Recorder. All
// methods may be called concurrently.
type Journal struct {
	*history.Recorder
	// Watch, unless nil, is called with every acceptance as it is recorded, in order, while the journal is locked:
	// it must not call the Journal's own methods. Set it before the world is opened.
	Watch func(history.Acceptance)

	tamper Tamper // never nil

	mu           sync.Mutex
	destinations map[string]string // by the name of the topic or queue
	calls        int               // the number of acceptances before tamper
	accepted     []acceptance      // as recorded, in the broker's order
	// written has, by event id, when the commit or rollback began. sent has when the row was marked as sent, and is
	// filled by Finish.
	written map[uuid.UUID]time.Time
	sent    map[uuid.UUID]time.Time
	faults  []fault
}

// acceptance is a send that the broker took; Suppressed is whether it dropped the message as a duplicate.
type acceptance struct {
	Event       uuid.UUID
	Destination string
	Group       string
	// Sequence is the attribute of that name, 0 when it is no number.
	Sequence   int64
	At         time.Time
	Suppressed bool
}

// fault is one fault with the time that it was in effect.
type fault struct {
	name     string
	effect   Effect
	from, to time.Time
}

// NewJournal returns an empty journal. A nil tamper changes nothing.
func NewJournal(tamper Tamper) *Journal {
	if tamper == nil {
		tamper = func(_ int, a history.Acceptance) []history.Acceptance { return []history.Acceptance{a} }
	}
	return &Journal{
		Recorder: history.New(), tamper: tamper,
		destinations: map[string]string{}, written: map[uuid.UUID]time.Time{}, sent: map[uuid.UUID]time.Time{},
	}
}

// setDestinations sets which destination each topic and queue serves: arns has the ARN of
// the topic or queue by the name of the destination.
func (j *Journal) setDestinations(arns map[string]string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for name, arn := range arns {
		j.destinations[arn[strings.LastIndexByte(arn, ':')+1:]] = name
	}
}

// wrote records at as the time when the commit or rollback of events began.
func (j *Journal) wrote(at time.Time, events []history.Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for i := range events {
		j.written[events[i].EventID] = at
	}
}

// onAccepted records an acceptance; the fake calls it in the order of acceptance. It
// ignores messages that a topic passes on to its queues, since the relay did not send them.
// It leaves out the sequence number, because a queue that is deleted and made again counts
// from the start. An event id that cannot be read is recorded as uuid.Nil.
func (j *Journal) onAccepted(a awsfake.Accepted) {
	if a.Source != "client" {
		return
	}
	id, err := uuid.Parse(a.Attributes[outbox.AttributeEventID])
	if err != nil {
		id = uuid.Nil // The checker reports an event that was never written.
	}
	sequence, err := strconv.ParseInt(a.Attributes[outbox.AttributeSequence], 10, 64)
	if err != nil {
		sequence = 0
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	told := j.tamper(j.calls, history.Acceptance{
		EventID: id, DeduplicationID: a.DeduplicationID, Destination: j.destinations[a.Name], Group: a.GroupID,
		MessageID: a.MessageID, At: a.At, Suppressed: a.Suppressed, Sum: history.Sum([]byte(a.Body)),
	})
	j.calls++
	for _, t := range told {
		if j.Watch != nil {
			j.Watch(t)
		}
		j.accepted = append(j.accepted, acceptance{
			Event: t.EventID, Destination: t.Destination, Group: t.Group, Sequence: sequence, At: t.At, Suppressed: t.Suppressed,
		})
		j.Accepted(t)
	}
}

// Excuse records that a fault was in effect from one time to another. Finish records causes
// for the resends that e explains. The name is printed by Trace.
func (j *Journal) Excuse(name string, e Effect, from, to time.Time) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.faults = append(j.faults, fault{name: name, effect: e, from: from, to: to})
}

// FirstAcceptance returns how long after the time of a fault, after, the broker first
// accepted any event, and whether no second fault was in effect between a second before
// that time and the acceptance. It leaves out the first 50 ms, in which the broker may
// accept a request that a dead relay had sent. It returns 0 and false when nothing was
// accepted up to until.
func (j *Journal) FirstAcceptance(after, until time.Time) (took time.Duration, alone bool) {
	const read = 50 * time.Millisecond
	j.mu.Lock()
	defer j.mu.Unlock()
	i := slices.IndexFunc(j.accepted, func(a acceptance) bool { return a.At.After(after.Add(read)) })
	if i < 0 || j.accepted[i].At.After(until) {
		return 0, false
	}
	first := j.accepted[i].At
	faults := 0
	for _, f := range j.faults {
		if f.from.Before(first) && f.to.After(after.Add(-time.Second)) {
			faults++
		}
	}
	return first.Sub(after), faults == 1
}

// Finish records the final state of each row, and a cause for each resend that a fault
// explains. Call it once, when writers and relays have ended.
func (j *Journal) Finish(ctx context.Context, pool *pgxpool.Pool) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	err := j.ReadFinals(ctx, pool, func(r history.Row) {
		if !r.SentAt.IsZero() {
			j.sent[r.EventID] = r.SentAt
		}
	})
	if err != nil {
		return err
	}
	for _, f := range j.faults {
		j.causes(f)
	}
	return nil
}

// causes records the causes of resends that one fault explains, as its effect says.
func (j *Journal) causes(f fault) {
	switch f.effect {
	case Harmless:
	case Unsettled:
		j.unsettled(f, history.Crash)
	case Unmarked:
		j.unsettled(f, history.SettleFailed)
	case Frozen:
		j.unsettled(f, history.Crash)
		j.late(f)
	}
}

// unsettled records a cause of the kind for one resend of each event that may have been
// accepted and not yet marked as sent while the fault was in effect: accepted not later
// than inFlight after its end, and not marked, or marked not earlier than slack before its begin.
func (j *Journal) unsettled(f fault, kind history.CauseKind) {
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

// late records causes for the request that had left a relay when the relay froze and that
// arrives when it wakes: one, of the kind LeaseLost, for each event that was written before
// the freeze and accepted between the begin of the freeze and inFlight after its end.
func (j *Journal) late(f fault) {
	seen := map[uuid.UUID]bool{}
	for _, a := range j.accepted {
		if seen[a.Event] || a.At.Before(f.from) || a.At.After(f.to.Add(inFlight)) || !j.written[a.Event].Before(f.from) {
			continue
		}
		seen[a.Event] = true
		j.Cause(history.Cause{Kind: history.LeaseLost, At: f.to, Events: []uuid.UUID{a.Event}})
	}
}

// Trace writes the faults and then the acceptances to out, one JSON object a line. The
// time "marked" of an acceptance is zero before Finish.
func (j *Journal) Trace(out io.Writer) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	e := json.NewEncoder(out)
	for _, f := range j.faults {
		if err := e.Encode(map[string]any{"fault": f.name, "from": f.from, "to": f.to}); err != nil {
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
