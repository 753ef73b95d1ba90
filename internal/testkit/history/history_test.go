package history_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/history"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

// literal judges rows that were visible together without any allowance.
var literal = history.Config{ReadAhead: -1, InFlight: time.Millisecond}

// story is a history as data, so that tests can break it.
type story struct {
	commits   []commit
	rollbacks []history.Event
	causes    []history.Cause
	accepted  []history.Acceptance
	received  []history.Receipt
	final     []history.Final
}

type commit struct {
	at     history.Commit
	events []history.Event
}

func (s *story) recorder() *history.Recorder {
	r := history.New()
	// Acceptances first: the recorder takes calls in any order.
	for _, a := range s.accepted {
		r.Accepted(a)
	}
	for _, c := range s.commits {
		r.Committed(c.at, c.events...)
	}
	r.RolledBack(s.rollbacks...)
	for _, c := range s.causes {
		r.Cause(c)
	}
	r.Consumer("shop", "default")
	for _, m := range s.received {
		r.Received(m)
	}
	for _, f := range s.final {
		r.Final(f)
	}
	return r
}

func (s *story) clone() *story {
	c := *s
	c.commits = slices.Clone(s.commits)
	for i := range c.commits {
		c.commits[i].events = slices.Clone(c.commits[i].events)
	}
	c.rollbacks = slices.Clone(s.rollbacks)
	c.causes = slices.Clone(s.causes)
	c.accepted = slices.Clone(s.accepted)
	c.received = slices.Clone(s.received)
	c.final = slices.Clone(s.final)
	return &c
}

var base = time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)

func tick(ms int) time.Time { return base.Add(time.Duration(ms) * time.Millisecond) }

func id(n int) uuid.UUID {
	var u uuid.UUID
	u[0], u[14], u[15] = 1, byte(n>>8), byte(n)
	return u
}

func lane(n int) outbox.Lane {
	return outbox.Lane{Destination: "default", AggregateType: "order", AggregateID: fmt.Sprint(n)}
}

func event(n, aggregate int) history.Event {
	return history.Event{EventID: id(n), Row: int64(n), Lane: lane(aggregate), Group: "order:" + fmt.Sprint(aggregate), Sum: uint64(n)}
}

func acceptance(e history.Event, ms int) history.Acceptance {
	return history.Acceptance{
		EventID: e.EventID, DeduplicationID: e.EventID.String(), Destination: e.Lane.Destination, Group: "order:" + e.Lane.AggregateID,
		MessageID: "m-" + e.EventID.String(), SequenceNumber: fmt.Sprintf("188%017d", ms), At: tick(ms), Sum: e.Sum,
	}
}

// correct returns a history of three events of lane 1 and one of lane 2, 10 ms apart, without a violation.
func correct() *story {
	s := &story{rollbacks: []history.Event{event(9, 1)}}
	for n := 1; n <= 4; n++ {
		aggregate := 1
		if n == 4 {
			aggregate = 2
		}
		s.add(event(n, aggregate), n*10, 100+n*10)
	}
	return s
}

func (s *story) add(e history.Event, committed, accepted int) {
	s.commits = append(s.commits, commit{history.Commit{Began: tick(committed), Done: tick(committed + 5)}, []history.Event{e}})
	s.accepted = append(s.accepted, acceptance(e, accepted))
	s.received = append(s.received, history.Receipt{Consumer: "shop", Destination: "default", EventID: e.EventID, Sum: e.Sum})
	s.final = append(s.final, history.Final{EventID: e.EventID, State: history.Sent, MessageID: "m-" + e.EventID.String()})
}

func TestCorrectHistoryIsOK(t *testing.T) {
	t.Parallel()
	v := correct().recorder().Check(literal)
	if !v.OK() {
		t.Fatal(v)
	}
	if v.Committed != 4 || v.Accepted != 4 || v.RolledBack != 1 || v.Received != 4 {
		t.Errorf("counts are wrong: %s", v)
	}
	// 110-10, 120-20, ... : all took 100 ms.
	if l := v.Latency["default"]; l.Count != 4 || l.P50 < 99.9 || l.P50 > 100.1 || l.Max < 99.9 || l.Max > 100.1 {
		t.Errorf("latency is %+v, want 100 ms", l)
	}
	text, err := json.Marshal(v)
	if err != nil || !strings.Contains(string(text), `"p99_ms":100`) {
		t.Errorf("JSON is %s, %v", text, err)
	}
}

func TestEmptyHistoryProvesNothing(t *testing.T) {
	t.Parallel()
	if v := history.New().Check(literal); v.OK() || !strings.HasPrefix(v.String(), "EMPTY") {
		t.Errorf("verdict is %s", v)
	}
}

func TestEveryKindOfFaultIsFound(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		kind    history.Kind
		witness string
		events  []uuid.UUID
		tamper  func(s *story)
	}{
		"row still pending": {history.Lost, "is pending", []uuid.UUID{id(3)}, func(s *story) {
			s.drop(3)
			s.final[2].State = history.Pending
		}},
		"row gone": {history.Lost, "is absent", []uuid.UUID{id(3)}, func(s *story) {
			s.drop(3)
			s.final = slices.Delete(s.final, 2, 3)
		}},
		"only ever suppressed": {history.MarkedNotAccepted, "never accepted", []uuid.UUID{id(3)}, func(s *story) {
			s.accepted[2].Suppressed = true
			s.received = slices.Delete(s.received, 2, 3)
		}},
		"marked, not accepted": {history.MarkedNotAccepted, "never accepted", []uuid.UUID{id(3)}, func(s *story) { s.drop(3) }},
		"accepted, pending":    {history.AcceptedNotMarked, "is pending", []uuid.UUID{id(3)}, func(s *story) { s.final[2].State = history.Pending }},
		"accepted, dead":       {history.AcceptedNotMarked, "is dead", []uuid.UUID{id(3)}, func(s *story) { s.final[2].State = history.Dead }},
		"accepted, row gone":   {history.AcceptedNotMarked, "is absent", []uuid.UUID{id(3)}, func(s *story) { s.final = slices.Delete(s.final, 2, 3) }},
		"wrong mark":           {history.Mismarked, "m-other", []uuid.UUID{id(3)}, func(s *story) { s.final[2].MessageID = "m-other" }},
		"reordered by sequence": {history.Reordered, "row 1", []uuid.UUID{id(1), id(2)}, func(s *story) {
			s.accepted[0].SequenceNumber, s.accepted[1].SequenceNumber = s.accepted[1].SequenceNumber, s.accepted[0].SequenceNumber
			s.received[0], s.received[1] = s.received[1], s.received[0]
		}},
		"reordered by time": {history.Reordered, "row 1", []uuid.UUID{id(1), id(2)}, func(s *story) {
			for i := range s.accepted {
				s.accepted[i].SequenceNumber = ""
			}
			s.accepted[0].At, s.accepted[1].At = s.accepted[1].At, s.accepted[0].At
			s.received[0], s.received[1] = s.received[1], s.received[0]
		}},
		"blocked behind a later one": {history.Reordered, "is blocked", []uuid.UUID{id(2), id(3)}, func(s *story) {
			s.drop(2)
			s.final[1] = history.Final{EventID: id(2), State: history.Blocked, Reason: "on hold"}
		}},
		"accepted and dead for the cause of another": {history.AcceptedNotMarked, "is dead", []uuid.UUID{id(3)}, func(s *story) {
			s.causes = append(s.causes, history.Cause{Kind: history.UnknownOutcome, At: tick(140), Events: []uuid.UUID{id(2)}})
			s.final[2] = history.Final{EventID: id(3), State: history.Dead, Reason: "InternalError"}
		}},
		"sent twice":     {history.Duplicated, "no cause", []uuid.UUID{id(3)}, func(s *story) { s.again(3, 500, false) }},
		"suppressed too": {history.Duplicated, "suppressed again", []uuid.UUID{id(3)}, func(s *story) { s.again(3, 500, true) }},
		"twice for one cause": {history.Duplicated, "no cause", []uuid.UUID{id(3)}, func(s *story) {
			s.causes = append(s.causes, history.Cause{Kind: history.UnknownOutcome, At: tick(140), Events: []uuid.UUID{id(3)}})
			s.again(3, 500, true)
			s.again(3, 600, true)
		}},
		"cause of another event": {history.Duplicated, "no cause", []uuid.UUID{id(3)}, func(s *story) {
			s.causes = append(s.causes, history.Cause{Kind: history.UnknownOutcome, At: tick(140), Events: []uuid.UUID{id(2)}})
			s.again(3, 500, true)
		}},
		"crash before the first send": {history.Duplicated, "no cause", []uuid.UUID{id(3)}, func(s *story) {
			s.causes = append(s.causes, history.Cause{Kind: history.Crash, At: tick(120)})
			s.again(3, 500, true)
		}},
		"crash after the second send": {history.Duplicated, "no cause", []uuid.UUID{id(3)}, func(s *story) {
			s.causes = append(s.causes, history.Cause{Kind: history.Crash, At: tick(501)})
			s.again(3, 500, true)
		}},
		"new deduplication id": {history.DeduplicationChanged, "attempt-2", []uuid.UUID{id(3)}, func(s *story) { s.accepted[2].DeduplicationID = "attempt-2" }},
		"generation nobody asked for": {history.DeduplicationChanged, "#r1", []uuid.UUID{id(3)}, func(s *story) {
			s.again(3, 500, false)
			s.accepted[4].DeduplicationID += "#r1"
		}},
		"rolled back, accepted": {history.Phantom, "rolled back", []uuid.UUID{id(9)}, func(s *story) { s.accepted = append(s.accepted, acceptance(event(9, 1), 900)) }},
		"never written":         {history.Phantom, "never written", []uuid.UUID{id(77)}, func(s *story) { s.accepted = append(s.accepted, acceptance(event(77, 1), 900)) }},
		"rolled back, row there": {history.Phantom, "its row is pending", []uuid.UUID{id(9)}, func(s *story) {
			s.final = append(s.final, history.Final{EventID: id(9), State: history.Pending})
		}},
		"received out of nothing": {history.Phantom, "no broker accepted", []uuid.UUID{id(78)}, func(s *story) {
			s.received = append(s.received, history.Receipt{Consumer: "shop", Destination: "default", EventID: id(78)})
		}},
		"unexpected group": {history.WrongGroup, `"order:2"`, []uuid.UUID{id(3)}, func(s *story) { s.accepted[2].Group = "order:2" }},
		"two groups of a lane": {history.WrongGroup, "elsewhere", []uuid.UUID{id(3)}, func(s *story) {
			s.forgetGroups()
			s.accepted[2].Group = "elsewhere"
		}},
		"two lanes of a group": {history.WrongGroup, `"order:1"`, []uuid.UUID{id(4)}, func(s *story) {
			s.forgetGroups()
			s.accepted[3].Group = "order:1"
		}},
		"other destination": {history.WrongDestination, "audit", []uuid.UUID{id(3)}, func(s *story) {
			a := acceptance(event(3, 1), 900)
			a.Destination = "audit"
			s.accepted = append(s.accepted, a)
		}},
		"other body":          {history.Altered, "another body", []uuid.UUID{id(3)}, func(s *story) { s.accepted[2].Sum = 99 }},
		"other body received": {history.Altered, "shop", []uuid.UUID{id(3)}, func(s *story) { s.received[2].Sum = 99 }},
		"dead without a reason": {history.Unexplained, "is dead", []uuid.UUID{id(3)}, func(s *story) {
			s.drop(3)
			s.final[2] = history.Final{EventID: id(3), State: history.Dead}
		}},
		"blocked without a reason": {history.Unexplained, "is blocked", []uuid.UUID{id(3)}, func(s *story) {
			s.drop(3)
			s.final[2] = history.Final{EventID: id(3), State: history.Blocked}
		}},
		"missed by the consumer": {history.NotReceived, "shop", []uuid.UUID{id(3)}, func(s *story) { s.received = slices.Delete(s.received, 2, 3) }},
		"received out of order": {history.ReceivedOutOfOrder, "row 1", []uuid.UUID{id(1), id(2)}, func(s *story) {
			s.received[0], s.received[1] = s.received[1], s.received[0]
		}},
		"written twice": {history.Malformed, "written twice", nil, func(s *story) { s.commits = append(s.commits, s.commits[0]) }},
		"one row, two events": {history.Malformed, "row 1", []uuid.UUID{id(1), id(4)}, func(s *story) {
			s.commits[3].events[0].Row = 1
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := correct()
			tc.tamper(s)
			v := s.recorder().Check(literal)
			if v.OK() {
				t.Fatal("the fault was not found")
			}
			for _, w := range v.Witnesses {
				if w.Kind == tc.kind && strings.Contains(w.Witness, tc.witness) && slices.Equal(w.Events, tc.events) {
					if len(v.Violations) != 1 {
						t.Errorf("one fault gave %v\n%s", v.Violations, v)
					}
					return
				}
			}
			t.Errorf("no witness of %s with %q and %v:\n%s", tc.kind, tc.witness, tc.events, v)
		})
	}
}

// drop removes the acceptance and the receipt of event n.
func (s *story) drop(n int) {
	s.accepted = slices.DeleteFunc(s.accepted, func(a history.Acceptance) bool { return a.EventID == id(n) })
	s.received = slices.DeleteFunc(s.received, func(r history.Receipt) bool { return r.EventID == id(n) })
}

func (s *story) again(n, ms int, suppressed bool) {
	e := s.commits[n-1].events[0]
	a := acceptance(e, ms)
	a.Suppressed = suppressed
	s.accepted = append(s.accepted, a)
}

func (s *story) forgetGroups() {
	for i := range s.commits {
		s.commits[i].events[0].Group = ""
	}
}

func TestExcusedHistoriesAreOK(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		duplicates, replayed int
		config               history.Config
		tamper               func(s *story)
	}{
		"lost answer": {1, 0, literal, func(s *story) {
			s.causes = append(s.causes, history.Cause{Kind: history.UnknownOutcome, At: tick(130), Events: []uuid.UUID{id(3)}})
			s.again(3, 500, true)
		}},
		"crash": {2, 0, literal, func(s *story) {
			s.causes = append(s.causes, history.Cause{Kind: history.Crash, At: tick(131)})
			s.again(3, 500, true)
			s.again(2, 501, false)
		}},
		"accepted just after the crash": {1, 0, history.Config{ReadAhead: -1}, func(s *story) {
			s.causes = append(s.causes, history.Cause{Kind: history.Crash, At: tick(1)})
			s.again(3, 500, true)
		}},
		"replay": {0, 1, literal, func(s *story) {
			s.causes = append(s.causes, history.Cause{Kind: history.Replay, At: tick(400), Events: []uuid.UUID{id(1)}})
			s.again(1, 500, false)
			s.accepted[4].DeduplicationID += "#r1"
		}},
		"skipped and redriven": {0, 1, literal, func(s *story) {
			s.causes = append(s.causes, history.Cause{Kind: history.Replay, At: tick(400), Events: []uuid.UUID{id(1)}})
			s.drop(1)
			s.accepted = append(s.accepted, acceptance(event(1, 1), 500))
			s.accepted[3].DeduplicationID += "#r1"
			s.received = append(s.received, history.Receipt{Consumer: "shop", Destination: "default", EventID: id(1)})
		}},
		"late commit": {0, 0, literal, func(s *story) {
			// Row 1 becomes visible after rows 2 and 3 were accepted.
			s.commits[0].at = history.Commit{Began: tick(15), Done: tick(135)}
			s.accepted[0] = acceptance(event(1, 1), 150)
			s.received = []history.Receipt{s.received[1], s.received[2], s.received[0], s.received[3]}
		}},
		"late commit while the later row is on its way": {0, 0, history.Config{ReadAhead: 20 * time.Millisecond}, func(s *story) {
			s.commits[0].at = history.Commit{Began: tick(15), Done: tick(110)}
			s.accepted[0] = acceptance(event(1, 1), 150)
			s.received = []history.Receipt{s.received[1], s.received[2], s.received[0], s.received[3]}
		}},
		"blocked, committed after the later row": {0, 0, literal, func(s *story) {
			s.drop(1)
			s.commits[0].at = history.Commit{Began: tick(15), Done: tick(135)}
			s.final[0] = history.Final{EventID: id(1), State: history.Blocked, Reason: "on hold"}
		}},
		"blocked at the end of its lane": {0, 0, literal, func(s *story) {
			s.drop(3)
			s.final[2] = history.Final{EventID: id(3), State: history.Blocked, Reason: "on hold"}
		}},
		"accepted unknown to its relay and then dead": {0, 0, literal, func(s *story) {
			s.causes = append(s.causes, history.Cause{Kind: history.UnknownOutcome, At: tick(140), Events: []uuid.UUID{id(1)}})
			s.accepted[0] = acceptance(event(1, 1), 150) // after the lane had gone on without it
			s.received = []history.Receipt{s.received[1], s.received[2], s.received[0], s.received[3]}
			s.final[0] = history.Final{EventID: id(1), State: history.Dead, Reason: "InternalError"}
		}},
		"redelivered": {0, 0, literal, func(s *story) { s.received = append(s.received, s.received[0]) }},
		"dead with a reason": {0, 0, literal, func(s *story) {
			s.drop(3)
			s.final[2] = history.Final{EventID: id(3), State: history.Dead, Reason: "MessageTooLong"}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := correct()
			tc.tamper(s)
			v := s.recorder().Check(tc.config)
			if !v.OK() {
				t.Fatal(v)
			}
			if v.DuplicatesWithCause != tc.duplicates || v.Replayed != tc.replayed {
				t.Errorf("%d duplicates and %d replays, want %d and %d", v.DuplicatesWithCause, v.Replayed, tc.duplicates, tc.replayed)
			}
		})
	}
}

func TestLateRowIsExpectedOnceItWasVisibleLongEnough(t *testing.T) {
	t.Parallel()
	s := correct()
	// Row 1 is visible at 90, row 2 accepted at 120, row 1 at 150.
	s.commits[0].at = history.Commit{Began: tick(15), Done: tick(90)}
	s.accepted[0] = acceptance(event(1, 1), 150)
	s.accepted[2] = acceptance(event(3, 1), 160)
	s.received[0], s.received[1] = s.received[1], s.received[0]
	for allowance, want := range map[time.Duration]bool{20 * time.Millisecond: false, 40 * time.Millisecond: true} {
		if v := s.recorder().Check(history.Config{ReadAhead: allowance}); v.OK() != want {
			t.Errorf("with %s OK is %v:\n%s", allowance, v.OK(), v)
		}
	}
}

func TestInDoubtIsWhatTheFinalStateSays(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ accepted, final, ok bool }{
		"neither": {false, false, true}, "both": {true, true, true}, "only the row": {false, true, false}, "only accepted": {true, false, false},
	} {
		r := correct().recorder()
		e := event(50, 5)
		r.InDoubt(history.Commit{Began: tick(200)}, e)
		if tc.accepted {
			r.Accepted(acceptance(e, 300))
			r.Received(history.Receipt{Consumer: "shop", Destination: "default", EventID: e.EventID})
		}
		if tc.final {
			r.Final(history.Final{EventID: e.EventID, State: history.Sent})
		}
		if v := r.Check(literal); v.OK() != tc.ok {
			t.Errorf("%s: OK is %v, want %v:\n%s", name, v.OK(), tc.ok, v)
		}
	}
}

// random draws a correct history: lanes with serialised writers, crashes with
// their resends, lost answers.
func random(t *rapid.T) *story {
	s := &story{}
	n := rapid.IntRange(4, 40).Draw(t, "events")
	lanes := rapid.IntRange(1, 4).Draw(t, "lanes")
	clock := 10 * n
	for i := 1; i <= n; i++ {
		clock += rapid.IntRange(1, 5).Draw(t, "pause")
		e := event(i, rapid.IntRange(1, lanes).Draw(t, "lane"))
		s.add(e, i*10, clock)
		if rapid.IntRange(0, 4).Draw(t, "fault") == 0 {
			s.causes = append(s.causes, history.Cause{Kind: history.UnknownOutcome, At: tick(clock), Events: []uuid.UUID{e.EventID}})
			clock++
			s.again(i, clock, rapid.Bool().Draw(t, "suppressed"))
			// The message id of the row is that of any send.
		}
	}
	return s
}

func TestWhatAFailoverUndidIsNotJudged(t *testing.T) {
	t.Parallel()
	// Rows 3 and 5 were committed and accepted, the second without an answer to its commit, and the new primary lacks
	// both. Row 3 is another event there.
	s := correct()
	doubted, reused := event(5, 1), event(6, 1)
	reused.Row = 3
	s.accepted = append(s.accepted, acceptance(doubted, 135))
	s.final = slices.Delete(s.final, 2, 3)
	s.add(reused, 60, 160)
	r := s.recorder()
	r.InDoubt(history.Commit{Began: tick(35), Done: tick(40)}, doubted)
	var answered []uuid.UUID
	r.Undo(func(u uuid.UUID) bool { return u != id(3) && u != id(5) }, func(u uuid.UUID, done time.Time) {
		answered = append(answered, u)
		if !done.Equal(tick(35)) {
			t.Errorf("the commit of %s was answered at %s, want %s", u, done, tick(35))
		}
	})
	if !slices.Equal(answered, []uuid.UUID{id(3)}) {
		t.Errorf("undone with an answer: %v, want event 3", answered)
	}
	v := r.Check(literal)
	if !v.OK() || v.Undone != 2 || v.Committed != 4 || v.RolledBack != 1 || !strings.Contains(v.String(), "2 undone") {
		t.Errorf("the verdict is\n%s", v)
	}
	r.Final(history.Final{EventID: id(3), State: history.Sent, MessageID: "m"})
	if v := r.Check(literal); v.Violations[history.Phantom] != 1 {
		t.Errorf("a row that came back is no fault:\n%s", v)
	}
}

func TestRandomCorrectHistoriesPassAndEveryMutationIsCaught(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := random(t)
		if v := s.recorder().Check(literal); !v.OK() {
			t.Fatalf("correct history: %s", v)
		}
		n := len(s.commits)
		k := rapid.IntRange(0, n-1).Draw(t, "event")
		e := s.commits[k].events[0]
		sent := slices.IndexFunc(s.accepted, func(a history.Acceptance) bool { return a.EventID == e.EventID })
		broken := s.clone()
		mutation := rapid.SampledFrom([]string{"drop", "swap", "duplicate", "re-id", "regroup", "redirect", "unmark", "remark", "vanish", "roll back", "miss", "alter", "kill"}).Draw(t, "mutation")
		switch mutation {
		case "drop":
			broken.accepted = slices.DeleteFunc(broken.accepted, func(a history.Acceptance) bool { return a.EventID == e.EventID })
		case "swap":
			other := slices.IndexFunc(s.commits[k+1:], func(c commit) bool { return c.events[0].Lane == e.Lane })
			if other < 0 {
				t.Skip("the last event of its lane")
			}
			later := s.commits[k+1+other].events[0].EventID
			move(broken, e.EventID, later)
		case "duplicate":
			a := broken.accepted[sent]
			a.At, a.Suppressed = tick(100_000), rapid.Bool().Draw(t, "suppressed twin")
			a.SequenceNumber = ""
			if !a.Suppressed {
				a.SequenceNumber = "99999999999999999999"
			}
			broken.accepted = append(broken.accepted, a)
		case "re-id":
			broken.accepted[sent].DeduplicationID = uuid.NewString()
		case "regroup":
			broken.accepted[sent].Group += "x"
		case "redirect":
			broken.accepted[sent].Destination = "audit"
		case "unmark":
			broken.final[k].State = rapid.SampledFrom([]history.State{history.Pending, history.Dead, history.Blocked}).Draw(t, "state")
		case "remark":
			broken.final[k].MessageID = "m-other"
		case "vanish":
			broken.final = slices.Delete(broken.final, k, k+1)
		case "roll back":
			broken.rollbacks = append(broken.rollbacks, e)
			broken.commits = slices.Delete(broken.commits, k, k+1)
		case "miss":
			broken.received = slices.Delete(broken.received, k, k+1)
		case "alter":
			broken.accepted[sent].Sum++
		case "kill":
			broken.final[k] = history.Final{EventID: e.EventID, State: history.Dead, Reason: "x"}
		}
		if v := broken.recorder().Check(literal); v.OK() {
			t.Fatalf("%s of event %s was not caught", mutation, e.EventID)
		}
	})
}

// move has the broker accept every send of the event after the first of later.
func move(s *story, moved, later uuid.UUID) {
	i := slices.IndexFunc(s.accepted, func(a history.Acceptance) bool { return a.EventID == later })
	limit := s.accepted[i]
	for j := range s.accepted {
		if s.accepted[j].EventID == moved {
			s.accepted[j].At = limit.At.Add(time.Duration(j+1) * time.Microsecond)
			s.accepted[j].SequenceNumber = limit.SequenceNumber + "1"
		}
	}
	for j := range s.accepted {
		if s.accepted[j].EventID != moved {
			s.accepted[j].SequenceNumber += "0"
		}
	}
}

func TestRecordingIsSafeFromManyGoroutines(t *testing.T) {
	t.Parallel()
	r := history.New()
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range 200 {
				e := event(w*200+i+1, w)
				r.Committed(history.Commit{Began: time.Now()}, e)
				r.Accepted(history.Acceptance{EventID: e.EventID, DeduplicationID: e.EventID.String(), Destination: "default", Group: e.Group})
				r.Received(history.Receipt{Consumer: "shop", Destination: "default", EventID: e.EventID})
				r.Final(history.Final{EventID: e.EventID, State: history.Sent})
			}
		})
	}
	wg.Wait()
	if v := r.Check(history.Config{}); !v.OK() || v.Accepted != 1600 {
		t.Error(v)
	}
}

func BenchmarkMillionEvents(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		r := history.New()
		for n := 1; n <= 1_000_000; n++ {
			var u uuid.UUID
			u[0], u[13], u[14], u[15] = 1, byte(n>>16), byte(n>>8), byte(n)
			a := n % 10_000
			e := history.Event{EventID: u, Row: int64(n), Lane: lane(a)}
			r.Committed(history.Commit{Began: base, Done: base}, e)
			r.Accepted(history.Acceptance{EventID: u, DeduplicationID: u.String(), Destination: "default", Group: e.Lane.AggregateID, At: base.Add(time.Duration(n))})
			r.Final(history.Final{EventID: u, State: history.Sent})
		}
		if v := r.Check(history.Config{}); !v.OK() {
			b.Fatal(v)
		}
	}
}
