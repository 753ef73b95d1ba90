//go:build unix

package lambdahost_test

import (
	"context"
	"encoding/json"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/lambdahost"
)

type fired struct {
	at        time.Duration
	scheduled time.Duration
	execution string
	attempt   string
}

type recorder struct {
	mu     sync.Mutex
	start  time.Time
	fired  []fired
	refuse bool
}

func (r *recorder) InvokeAsync(_ context.Context, payload []byte) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.refuse {
		return "", lambdahost.ErrClosed
	}
	var in map[string]string
	if err := json.Unmarshal(payload, &in); err != nil {
		return "", err
	}
	at, err := time.Parse(time.RFC3339, in["scheduled-time"])
	if err != nil {
		return "", err
	}
	r.fired = append(r.fired, fired{time.Since(r.start), at.Sub(r.start), in["execution-id"], in["attempt-number"]})
	return "id", nil
}

func TestScheduleFiresAtOnceAndEveryPeriod(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{start: time.Now()}
		ctx, cancel := context.WithTimeout(t.Context(), 25*time.Second)
		defer cancel()
		lambdahost.Schedule{Every: 10 * time.Second}.Run(ctx, r)
		var at []time.Duration
		ids := map[string]bool{}
		for _, f := range r.fired {
			at = append(at, f.at)
			ids[f.execution] = true
			if f.at != f.scheduled || f.attempt != "1" {
				t.Errorf("tick %+v: want it on time, once", f)
			}
		}
		if want := []time.Duration{0, 10 * time.Second, 20 * time.Second}; !slices.Equal(at, want) || len(ids) != 3 {
			t.Errorf("fired at %v with %d ids, want %v", at, len(ids), want)
		}
	})
}

func TestScheduleDuplicatesAndDelays(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &recorder{start: time.Now()}
		ctx, cancel := context.WithTimeout(t.Context(), 25*time.Second)
		defer cancel()
		lambdahost.Schedule{
			Every:      10 * time.Second,
			Duplicates: func(n int) int { return n % 2 },
			Late:       func(n int) time.Duration { return time.Duration(n) * 3 * time.Second },
		}.Run(ctx, r)
		var at, due []time.Duration
		for _, f := range r.fired {
			at, due = append(at, f.at), append(due, f.scheduled)
		}
		// The third, due at 20 s and 6 s late, was cut off at 25 s.
		if want := []time.Duration{0, 13 * time.Second, 13 * time.Second}; !slices.Equal(at, want) {
			t.Fatalf("fired at %v, want %v", at, want)
		}
		if want := []time.Duration{0, 10 * time.Second, 10 * time.Second}; !slices.Equal(due, want) {
			t.Errorf("due at %v, want %v", due, want)
		}
		if a, b := r.fired[1], r.fired[2]; a.execution != b.execution || a.attempt != "1" || b.attempt != "2" {
			t.Errorf("duplicates %+v, %+v: want one execution, attempts 1 and 2", a, b)
		}
	})
}

func TestScheduleEndsWithTheFunction(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		lambdahost.Schedule{Every: time.Second}.Run(t.Context(), &recorder{refuse: true})
	})
}
