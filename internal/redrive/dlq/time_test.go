package dlq_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/serverless-outbox/serverless-outbox/internal/redrive"
	"github.com/serverless-outbox/serverless-outbox/internal/redrive/dlq"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

// store is a FIFO dead-letter queue and its target in memory, on the clock of a
// synctest bubble.
type store struct {
	mu       sync.Mutex
	dead     []*stored
	sent     []sent
	renewals int
	// slow is how long a send takes.
	slow time.Duration
	// deaf lets every Hide fail.
	deaf bool
	// stubborn lets a send take its time whatever its deadline.
	stubborn bool
	// deletes are the calls of Delete, and shown the bodies in the order in
	// which they were shown again.
	deletes int
	shown   []string
}

type stored struct {
	dlq.Received
	until time.Time
	n     int
}

type sent struct {
	at   time.Time
	body string
}

func newStore(groups, each int) *store {
	s := &store{}
	for n := range each {
		for g := range groups {
			id := fmt.Sprintf("%d-%d", g, n)
			s.dead = append(s.dead, &stored{Received: dlq.Received{MessageID: id, GroupID: fmt.Sprint(g), Body: id}})
		}
	}
	return s
}

func (s *store) Receive(ctx context.Context, in dlq.Receive) ([]dlq.Received, error) {
	if got := s.take(in); len(got) > 0 || in.Wait <= 0 {
		return got, nil
	}
	timer := time.NewTimer(in.Wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-timer.C:
	}
	return s.take(in), nil
}

func (s *store) take(in dlq.Receive) []dlq.Received {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	hidden := map[string]bool{}
	var got []dlq.Received
	var taken []*stored
	for _, d := range s.dead {
		if d.until.After(now) {
			hidden[d.GroupID] = true
		}
		if hidden[d.GroupID] || len(got) == in.Max {
			continue
		}
		taken = append(taken, d)
		d.n++
		d.Receipt = fmt.Sprintf("%s/%d", d.MessageID, d.n)
		got = append(got, d.Received)
	}
	for _, d := range taken {
		d.until = now.Add(in.Hide)
	}
	return got
}

var errReceipt = errors.New("the receipt handle has expired")

func (s *store) each(receipts []string, do func(at int)) []error {
	s.mu.Lock()
	defer s.mu.Unlock()
	errs := make([]error, len(receipts))
	for i, r := range receipts {
		at := slices.IndexFunc(s.dead, func(d *stored) bool { return d.Receipt == r && d.until.After(time.Now()) })
		if at < 0 {
			errs[i] = errReceipt
			continue
		}
		do(at)
	}
	return errs
}

func (s *store) Delete(_ context.Context, receipts []string) []error {
	s.mu.Lock()
	s.deletes++
	s.mu.Unlock()
	return s.each(receipts, func(at int) { s.dead = slices.Delete(s.dead, at, at+1) })
}

func (s *store) Hide(_ context.Context, receipts []string, d time.Duration) []error {
	if s.deaf {
		return make([]error, 0)
	}
	return s.each(receipts, func(at int) {
		if d > 0 {
			s.renewals++
		} else {
			s.shown = append(s.shown, s.dead[at].Body)
		}
		s.dead[at].until = time.Now().Add(d)
	})
}

func (s *store) Depth(context.Context) (dlq.Depth, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var depth dlq.Depth
	for _, d := range s.dead {
		if d.until.After(time.Now()) {
			depth.Hidden++
		} else {
			depth.Visible++
		}
	}
	return depth, nil
}

func (s *store) Limits() outbox.Limits {
	return outbox.Limits{Entries: 10, MessageBytes: 1 << 20, BatchBytes: 1 << 20}
}

func (s *store) Send(ctx context.Context, msgs []dlq.Outgoing) []outbox.Result {
	results := make([]outbox.Result, len(msgs))
	timer := time.NewTimer(s.slow)
	defer timer.Stop()
	if s.stubborn {
		ctx = context.WithoutCancel(ctx)
	}
	select {
	case <-ctx.Done():
		for i := range results {
			results[i] = outbox.Result{Class: outbox.Unknown, Code: "Timeout", Err: ctx.Err()}
		}
		return results
	case <-timer.C:
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range msgs {
		s.sent = append(s.sent, sent{time.Now(), msgs[i].Body})
		results[i] = outbox.Result{Class: outbox.Accepted, MessageID: "m"}
	}
	return results
}

// run redrives within d.
func (s *store) run(t *testing.T, cfg dlq.Config, req redrive.Request, d time.Duration) redrive.Answer {
	t.Helper()
	engine, err := dlq.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	req.Source = redrive.SourceDLQ
	answer, err := engine.Run(t.Context(), dlq.Route{Queue: s, Target: s, Gauge: s}, req, time.Now().Add(d))
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

// inOrder fails unless the first n of each group were sent, once and in order.
func (s *store) inOrder(t *testing.T) {
	t.Helper()
	next := map[string]int{}
	for _, m := range s.sent {
		g, n, _ := strings.Cut(m.body, "-")
		if n != fmt.Sprint(next[g]) {
			t.Fatalf("group %s: %s where %d belongs", g, n, next[g])
		}
		next[g]++
	}
}

func TestARunStopsInTimeAndGoesOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // fails when a goroutine is left
		s := newStore(3, 50)
		s.slow = time.Second
		start := time.Now()
		answer := s.run(t, dlq.Config{Receivers: 1}, redrive.Request{}, 20*time.Second)
		if took := time.Since(start); took > 26*time.Second {
			t.Errorf("it took %v", took)
		}
		if answer.Stopped != redrive.StopTime || !answer.More || answer.Redriven == 0 || answer.Redriven >= 150 || answer.Failed != 0 {
			t.Errorf("answer %+v", answer)
		}
		if d, _ := s.Depth(t.Context()); d.Hidden != 0 || d.Visible != 150-answer.Redriven {
			t.Errorf("redriven %d, left %+v", answer.Redriven, d)
		}
		s.slow = 0
		if answer = s.run(t, dlq.Config{}, redrive.Request{}, time.Minute); answer.More || len(s.sent) != 150 {
			t.Errorf("answer %+v, sent %d", answer, len(s.sent))
		}
		s.inOrder(t)
	})
}

func TestTheRateIsKeptAndMessagesStayHidden(t *testing.T) {
	t.Parallel()
	for _, rate := range []float64{0.02, 2, 150} {
		t.Run(fmt.Sprint(rate), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newStore(4, 8)
				start := time.Now()
				answer := s.run(t, dlq.Config{}, redrive.Request{Rate: rate}, time.Hour)
				if answer.Redriven != 32 || answer.Failed != 0 || answer.Duplicates != 0 {
					t.Fatalf("answer %+v", answer)
				}
				for _, m := range s.sent {
					m.at = m.at.Round(time.Millisecond)
				}
				// The first goes at once; of any, no more than the rate allows and
				// one batch.
				for i, m := range s.sent {
					if most := rate*m.at.Sub(start).Seconds() + max(1, min(10, rate)); float64(i+1) > most+1e-6 {
						t.Fatalf("%d messages after %v at a rate of %v", i+1, m.at.Sub(start), rate)
					}
				}
				if took := s.sent[31].at.Sub(start).Seconds(); took > 33/rate {
					t.Errorf("it took %v seconds", took)
				}
				s.inOrder(t)
				if rate < 1 && s.renewals == 0 {
					t.Error("nothing was renewed: the messages must have appeared")
				}
			})
		})
	}
}

// Sends are so slow that what waits behind them would appear: it is renewed.
func TestSlowWorkIsKeptHidden(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStore(1, 30)
		s.slow = 4 * time.Second
		answer := s.run(t, dlq.Config{Visibility: 30 * time.Second}, redrive.Request{}, time.Hour)
		if answer.Redriven != 30 || answer.Failed != 0 || len(s.sent) != 30 || s.renewals == 0 {
			t.Errorf("answer %+v, sent %d, renewed %d", answer, len(s.sent), s.renewals)
		}
		s.inOrder(t)
	})
}

// When that is not possible, nothing is sent that others may have by then.
func TestWhatCannotBeKeptHiddenIsNotSent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStore(1, 10)
		s.slow, s.deaf = 4*time.Second, true
		answer := s.run(t, dlq.Config{Receivers: 1, Visibility: 30 * time.Second}, redrive.Request{}, 50*time.Second)
		if answer.Redriven == 0 || answer.GroupsStopped != 1 || answer.Failed != 1 || answer.Failures[0].Reason != "ReceiptExpired" || answer.Duplicates != 0 {
			t.Errorf("answer %+v", answer)
		}
		s.inOrder(t)
		if len(s.sent) != answer.Redriven {
			t.Errorf("%d were sent", len(s.sent))
		}
	})
}

// The process stood still between the acceptance and its answer, for longer than
// the message was hidden. The receipt may be somebody else's by now: it is not
// even tried.
func TestAnExpiredReceiptIsNotTried(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStore(1, 3)
		s.slow, s.stubborn = 61*time.Second, true
		answer := s.run(t, dlq.Config{Receivers: 1}, redrive.Request{}, 30*time.Second)
		if s.deletes != 0 || answer.Redriven != 1 || answer.Duplicates != 1 || answer.GroupsStopped != 1 {
			t.Errorf("%d deletes, answer %+v", s.deletes, answer)
		}
	})
}

// Of each group the last is shown first, so that the first hides the rest to
// the end.
func TestWhatWasKeptHiddenIsShownFromItsEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStore(3, 3)
		s.run(t, dlq.Config{}, redrive.Request{EventType: "none"}, time.Minute)
		next := map[string]int{"0": 2, "1": 2, "2": 2}
		for _, body := range s.shown {
			g, n, _ := strings.Cut(body, "-")
			if n != fmt.Sprint(next[g]) {
				t.Errorf("group %s: %s was shown where %d belongs, of %v", g, n, next[g], s.shown)
			}
			next[g]--
		}
		if len(s.shown) != 9 {
			t.Errorf("shown %v", s.shown)
		}
	})
}

// A destination that answers nothing costs a group its attempts, and the run
// ends all the same.
func TestADestinationThatHangsEndsInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStore(2, 3)
		s.slow = time.Hour
		start := time.Now()
		answer := s.run(t, dlq.Config{}, redrive.Request{}, 2*time.Minute)
		if took := time.Since(start); answer.Failed != 2 || answer.GroupsStopped != 2 || answer.Redriven != 0 || took > 2*time.Minute {
			t.Errorf("answer %+v after %v", answer, took)
		}
		if d, _ := s.Depth(t.Context()); d.Visible != 6 {
			t.Errorf("left %+v", d)
		}
	})
}

// Messages that another receiver has are not waited for, and are counted.
func TestHiddenMessagesAreCounted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStore(2, 4)
		s.take(dlq.Receive{Max: 3, Hide: time.Minute})
		answer := s.run(t, dlq.Config{}, redrive.Request{}, time.Minute)
		if answer.Hidden != 3 || !answer.More || len(answer.Notes) == 0 {
			t.Errorf("answer %+v", answer)
		}
	})
}

func TestTooManyHiddenMessagesEndTheRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStore(40, 1)
		answer := s.run(t, dlq.Config{MaxHidden: 20, Receivers: 1, Gather: 10}, redrive.Request{EventType: "none"}, time.Minute)
		if answer.Stopped != redrive.StopTooManyHidden || answer.Skipped != 20 || !answer.More {
			t.Errorf("answer %+v", answer)
		}
		if d, _ := s.Depth(t.Context()); d.Visible != 40 {
			t.Errorf("left %+v", d)
		}
	})
}

func TestConfigNamesEveryFault(t *testing.T) {
	t.Parallel()
	_, err := dlq.New(dlq.Config{
		Receivers: -1, Gather: -1, Visibility: time.Millisecond, Wait: time.Minute, CallTimeout: time.Minute, Attempts: -1,
		RetryMin: time.Hour, MaxHidden: 1 << 20, Grace: -1, ReportEvery: -1,
	})
	for _, want := range []string{"Receivers", "Gather", "Visibility", "Wait", "CallTimeout", "Attempts", "RetryMin", "MaxHidden", "Grace", "ReportEvery"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not name %s", err, want)
		}
	}
}
