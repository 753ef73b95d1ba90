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
		lambdahost.Schedule(ctx, 10*time.Second, r)
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

func TestScheduleEndsWithTheFunction(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		lambdahost.Schedule(t.Context(), time.Second, &recorder{refuse: true})
	})
}
