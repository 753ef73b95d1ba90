package rows_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/serverless-outbox/serverless-outbox/internal/redrive"
	"github.com/serverless-outbox/serverless-outbox/internal/redrive/rows"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

// table has the rows 1 to n, each of a lane of its own, and answers with the
// outcome of each id, or redriven.
type table struct {
	n        int64
	outcomes map[int64]rows.Outcome
	failAt   int
	calls    []rows.Batch
	times    []time.Time
}

var errDown = errors.New("down")

func (s *table) RedriveDeadLetters(_ context.Context, b rows.Batch) ([]rows.Row, error) {
	s.calls = append(s.calls, b)
	s.times = append(s.times, time.Now())
	if len(s.calls) == s.failAt {
		return nil, errDown
	}
	var got []rows.Row
	for id := b.After + 1; id <= s.n && len(got) < b.Limit; id++ {
		outcome, ok := s.outcomes[id]
		if !ok {
			outcome = rows.Redriven
		}
		got = append(got, rows.Row{
			ID: id, EventID: uuid.New(), Outcome: outcome, Ordered: id%2 == 0,
			Lane: outbox.Lane{Destination: "d", AggregateType: "t", AggregateID: fmt.Sprint(id % 4)},
		})
	}
	return got, nil
}

func (s *table) ReleaseBlocked(ctx context.Context, b rows.Batch) ([]rows.Row, error) {
	return s.RedriveDeadLetters(ctx, b)
}

func run(t *testing.T, s rows.Store, c rows.Config, r redrive.Request, until time.Time) redrive.Answer {
	t.Helper()
	e, err := rows.New(s, c)
	if err != nil {
		t.Fatal(err)
	}
	a, err := e.Run(t.Context(), r, until)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func soon() time.Time { return time.Now().Add(time.Hour) }

func TestEveryOutcomeIsCounted(t *testing.T) {
	t.Parallel()
	s := &table{n: 12, outcomes: map[int64]rows.Outcome{
		3: rows.Unconfirmed, 4: rows.Behind, 5: rows.Archiving, 9: rows.Refused, 6: rows.Refused, 7: rows.Gone, 8: rows.Released,
	}}
	told := 0
	a := run(t, s, rows.Config{Batch: 5, RequestID: "me", Progress: func(a redrive.Answer) {
		if told++; a.Token == "" {
			t.Error("progress without a token")
		}
	}}, redrive.Request{Source: redrive.SourceDeadLetters, Confirm: true}, soon())
	if a.Redriven != 5 || a.Unconfirmed != 1 || a.Unseen != 1 || a.Failed != 3 || a.Released != 1 || a.OutOfOrder != 2 || a.GroupsStopped != 2 || a.More || a.Token != "" || a.Stopped != "" {
		t.Errorf("answer = %+v", a)
	}
	if len(a.Failures) != 2 || a.Failures[0].Reason != "Archiving" || a.Failures[0].Count != 1 || a.Failures[1].Reason != "Refused" || len(a.Failures[1].Examples) != 2 {
		t.Errorf("failures = %+v", a.Failures)
	}
	if len(a.Notes) != 3 || told != 3 || len(s.calls) != 4 {
		t.Errorf("notes %q, %d reports, %d calls", a.Notes, told, len(s.calls))
	}
	if c := s.calls[1]; c.After != 5 || c.Limit != 5 || c.RequestID != "me" || !c.Request.Confirm {
		t.Errorf("second call = %+v", c)
	}
}

func TestDryRunCountsAndChangesNothing(t *testing.T) {
	t.Parallel()
	s := &table{n: 3}
	a := run(t, s, rows.Config{}, redrive.Request{Source: redrive.SourceDeadLetters, DryRun: true, Confirm: true, Rate: 0.01}, soon())
	if a.Matched != 3 || a.Redriven != 0 || !a.DryRun || a.OutOfOrder != 2 || len(a.Notes) != 1 || !s.calls[0].Request.DryRun {
		t.Errorf("answer = %+v", a)
	}
}

func TestLimitEndsWithATokenToGoOnWith(t *testing.T) {
	t.Parallel()
	s := &table{n: 7, outcomes: map[int64]rows.Outcome{1: rows.Unconfirmed}}
	r := redrive.Request{Source: redrive.SourceDeadLetters, Limit: 3}
	a := run(t, s, rows.Config{Batch: 2}, r, soon())
	if a.Redriven != 3 || !a.More || a.Token != "4" || a.Stopped != redrive.StopLimit {
		t.Fatalf("answer = %+v", a)
	}
	r.Token = a.Token
	if a = run(t, s, rows.Config{}, r, soon()); a.Redriven != 3 || a.Token != "7" || a.Unconfirmed != 0 {
		t.Fatalf("second = %+v", a)
	}
	r.Token = a.Token
	if a = run(t, s, rows.Config{}, r, soon()); a.Redriven != 0 || a.More {
		t.Errorf("third = %+v", a)
	}
}

func TestRateAndTimeOfARun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &table{n: 10}
		began := time.Now()
		a := run(t, s, rows.Config{}, redrive.Request{Source: redrive.SourceDeadLetters, Rate: 2}, soon())
		if took := time.Since(began); a.Redriven != 10 || took != 5*time.Second || a.Seconds != 5 {
			t.Errorf("%d events in %v at 2 a second: %+v", a.Redriven, took, a)
		}
		s = &table{n: 10}
		a = run(t, s, rows.Config{}, redrive.Request{Source: redrive.SourceDeadLetters, Rate: 2}, time.Now().Add(2500*time.Millisecond))
		if a.Redriven != 6 || a.Stopped != redrive.StopTime || a.Token != "6" {
			t.Errorf("until 2.5 s: %+v", a)
		}
		if a = run(t, s, rows.Config{}, redrive.Request{Source: redrive.SourceDeadLetters}, time.Now()); a.Stopped != redrive.StopTime || a.Token != "0" {
			t.Errorf("no time: %+v", a)
		}
		e, err := rows.New(s, rows.Config{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 700*time.Millisecond)
		defer cancel()
		if a, err = e.Run(ctx, redrive.Request{Source: redrive.SourceDeadLetters, Rate: 1}, soon()); err != nil || a.Stopped != redrive.StopCanceled || a.Redriven != 1 || a.Token != "1" {
			t.Errorf("canceled: %+v, %v", a, err)
		}
	})
}

func TestErrorOfTheStoreEndsTheRunWithWhatWasDone(t *testing.T) {
	t.Parallel()
	s := &table{n: 9, failAt: 3}
	a := run(t, s, rows.Config{Batch: 2}, redrive.Request{Source: redrive.SourceBlocked}, soon())
	if a.Redriven != 4 || a.Released != 4 || a.Problem != "down" || a.Stopped != redrive.StopUnavailable || !a.More || a.Token != "4" {
		t.Errorf("answer = %+v", a)
	}
}

func TestWhatIsRefused(t *testing.T) {
	t.Parallel()
	e, err := rows.New(&table{}, rows.Config{})
	if err != nil {
		t.Fatal(err)
	}
	for what, r := range map[string]redrive.Request{
		"nothing":        {},
		"a queue":        {Source: redrive.SourceDLQ},
		"a replay":       {Action: redrive.ActionReplay, EventType: "e"},
		"a wrong token":  {Source: redrive.SourceBlocked, Token: "x"},
		"a wrong filter": {Source: redrive.SourceBlocked, AggregateID: "x"},
	} {
		if _, err := e.Run(t.Context(), r, soon()); err == nil {
			t.Errorf("%s: not refused", what)
		}
	}
	if _, err := rows.New(nil, rows.Config{Batch: -1}); err == nil {
		t.Error("no store and a negative batch: not refused")
	}
}
