package replay_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/serverless-outbox/serverless-outbox/internal/redrive"
	"github.com/serverless-outbox/serverless-outbox/internal/redrive/replay"
)

// list is a store with one replay, that is found in two searches and whose steps
// a test gives.
type list struct {
	begun   uuid.UUID
	found   int
	steps   []replay.Step
	limits  []int
	started int
	failAt  int
	calls   int
}

var errDown = errors.New("down")

func (s *list) called() error {
	if s.calls++; s.calls == s.failAt {
		return errDown
	}
	return nil
}

func (s *list) CountReplay(_ context.Context, _ *redrive.Request, after int64, _ int) (int, int64, error) {
	if after < 200 {
		return 3, after + 100, s.called()
	}
	return 3, 0, s.called()
}

func (s *list) StartReplay(_ context.Context, id uuid.UUID, _ string, _ *redrive.Request) error {
	s.begun = id
	s.started++
	return s.called()
}

func (s *list) FindReplay(_ context.Context, id uuid.UUID, _ int) (replay.Progress, error) {
	if id != s.begun {
		return replay.Progress{}, replay.ErrNotFound
	}
	if s.found < 2 {
		s.found++
	}
	return replay.Progress{Searched: s.found == 2, Found: 5 * s.found, Through: int64(s.found)}, s.called()
}

func (s *list) CopyReplay(_ context.Context, _ uuid.UUID, limit int) (replay.Step, error) {
	if err := s.called(); err != nil {
		return replay.Step{}, err
	}
	s.limits = append(s.limits, limit)
	if len(s.steps) == 0 {
		return replay.Step{Outcome: replay.Ended}, nil
	}
	got := s.steps[0]
	s.steps = s.steps[1:]
	return got, nil
}

func copied(counts ...int) (steps []replay.Step) {
	for _, n := range counts {
		steps = append(steps, replay.Step{Outcome: replay.Copied, Count: n})
	}
	return steps
}

func run(t *testing.T, s replay.Store, c replay.Config, r redrive.Request, until time.Time) redrive.Answer {
	t.Helper()
	e, err := replay.New(s, c)
	if err != nil {
		t.Fatal(err)
	}
	r.Action = redrive.ActionReplay
	a, err := e.Run(t.Context(), r, until)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func soon() time.Time { return time.Now().Add(time.Hour) }

func TestReplayTellsItsTokenBeforeItCopies(t *testing.T) {
	t.Parallel()
	s := &list{steps: append(copied(3, 4), replay.Step{Outcome: replay.Gone, Count: 1},
		replay.Step{Outcome: replay.Large, Count: 1200, AggregateType: "order", AggregateID: "7", EventID: uuid.New()})}
	var told []replay.Progress
	a := run(t, s, replay.Config{Progress: func(a redrive.Answer, p replay.Progress) {
		if a.Token != s.begun.String() {
			t.Errorf("token %q of replay %s", a.Token, s.begun)
		}
		told = append(told, p)
	}}, redrive.Request{EventType: "e"}, soon())
	if a.Redriven != 7 || a.Failed != 1201 || a.GroupsStopped != 1 || a.More || a.Token != "" || len(a.Notes) != 1 {
		t.Errorf("answer = %+v", a)
	}
	if len(a.Failures) != 2 || a.Failures[0].Count != 1200 || !strings.Contains(a.Failures[0].Text, "order 7") || a.Failures[1].Reason != "Gone" {
		t.Errorf("failures = %+v", a.Failures)
	}
	if len(told) != 6 || told[0].Searched || !told[1].Searched || told[1].Copied != 0 || told[3].Copied != 7 || told[5].Failed != 1201 {
		t.Errorf("progress = %+v", told)
	}
	if s.limits[0] != replay.DefaultAggregateLimit {
		t.Errorf("limit = %d", s.limits[0])
	}
}

func TestReplayGoesOnUnderItsToken(t *testing.T) {
	t.Parallel()
	s := &list{steps: copied(2, 2, 2), failAt: 5}
	a := run(t, s, replay.Config{}, redrive.Request{EventType: "e"}, soon())
	if a.Redriven != 2 || a.Problem != "down" || !a.More || a.Stopped != redrive.StopUnavailable || a.Token != s.begun.String() {
		t.Fatalf("answer = %+v", a)
	}
	a = run(t, s, replay.Config{}, redrive.Request{Token: a.Token}, soon())
	if a.Redriven != 4 || a.More || s.started != 1 {
		t.Errorf("second = %+v, started %d times", a, s.started)
	}
	e, err := replay.New(s, replay.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err = e.Run(t.Context(), redrive.Request{Action: redrive.ActionReplay, Token: uuid.NewString()}, soon()); !errors.Is(err, replay.ErrNotFound) {
		t.Errorf("an unknown token = %v, want ErrNotFound", err)
	}
}

func TestDryRunCounts(t *testing.T) {
	t.Parallel()
	s := &list{}
	if a := run(t, s, replay.Config{}, redrive.Request{EventType: "e", DryRun: true}, soon()); a.Matched != 9 || a.Redriven != 0 || a.More || s.started != 0 {
		t.Errorf("answer = %+v", a)
	}
	s = &list{failAt: 2}
	if a := run(t, s, replay.Config{}, redrive.Request{EventType: "e", DryRun: true}, soon()); a.Matched != 3 || a.Problem == "" || !a.More {
		t.Errorf("answer = %+v", a)
	}
}

func TestLimitRateAndTimeOfAReplay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		a := run(t, &list{steps: copied(5, 5, 5)}, replay.Config{}, redrive.Request{EventType: "e", Rate: 10}, soon())
		if took := time.Since(began); a.Redriven != 15 || took != 1500*time.Millisecond {
			t.Errorf("%d events in %v", a.Redriven, took)
		}
		began = time.Now()
		failed := []replay.Step{{Outcome: replay.Large, Count: 1200}, {Outcome: replay.Gone, Count: 1}}
		a = run(t, &list{steps: failed}, replay.Config{}, redrive.Request{EventType: "e", Rate: 10}, soon())
		if took := time.Since(began); a.Failed != 1201 || took != 0 {
			t.Errorf("%d events that were not copied took %v of the rate", a.Failed, took)
		}
		a = run(t, &list{steps: copied(5, 5, 5)}, replay.Config{}, redrive.Request{EventType: "e", Limit: 6}, soon())
		if a.Redriven != 10 || a.Stopped != redrive.StopLimit || !a.More || a.Token == "" {
			t.Errorf("limit: %+v", a)
		}
		a = run(t, &list{steps: copied(5, 5, 5)}, replay.Config{}, redrive.Request{EventType: "e", Rate: 5}, time.Now().Add(1200*time.Millisecond))
		if a.Redriven != 10 || a.Stopped != redrive.StopTime || !a.More {
			t.Errorf("time: %+v", a)
		}
		s := &list{steps: copied(5)}
		if run(t, s, replay.Config{Batch: 7}, redrive.Request{EventType: "e", Interleave: true}, soon()); s.limits[0] != 7 {
			t.Errorf("limit of a step = %d", s.limits[0])
		}
		e, err := replay.New(&list{steps: copied(1, 1, 1)}, replay.Config{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer cancel()
		if a, err = e.Run(ctx, redrive.Request{Action: redrive.ActionReplay, EventType: "e", Rate: 1}, soon()); err != nil || a.Stopped != redrive.StopCanceled || a.Redriven != 2 {
			t.Errorf("canceled: %+v, %v", a, err)
		}
	})
}

func TestWhatIsRefused(t *testing.T) {
	t.Parallel()
	e, err := replay.New(&list{}, replay.Config{})
	if err != nil {
		t.Fatal(err)
	}
	for what, r := range map[string]redrive.Request{
		"nothing":               {},
		"a redrive":             {Source: redrive.SourceBlocked},
		"no filter":             {Action: redrive.ActionReplay},
		"a wrong token":         {Action: redrive.ActionReplay, EventType: "e", Token: "x"},
		"a dry run of a replay": {Action: redrive.ActionReplay, EventType: "e", DryRun: true, Token: uuid.NewString()},
	} {
		if _, err = e.Run(t.Context(), r, soon()); err == nil {
			t.Errorf("%s: not refused", what)
		}
	}
	_, err = replay.New(nil, replay.Config{AggregateLimit: -1, SearchLimit: -1, Batch: -1})
	for _, name := range []string{"store", "AggregateLimit", "SearchLimit", "Batch"} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s is not named in %v", name, err)
		}
	}
}
