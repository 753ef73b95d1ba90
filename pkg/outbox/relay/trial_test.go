package relay_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

var errDown = errors.New("the database is down")

// failing has every call of one step of the store fail once a time has passed. It is called before a relay is started.
func (w *world) failing(step string, after time.Duration) {
	from := time.Now().Add(after)
	w.store.Before = func(_ context.Context, s string) error {
		if s == step && !time.Now().Before(from) {
			return errDown
		}
		return nil
	}
}

// end runs a relay for a time and returns its summary and its error.
func (w *world) end(ctx context.Context, d time.Duration) (relay.Summary, error) {
	w.Helper()
	r, err := relay.New(w.store, w.config("r"))
	if err != nil {
		w.Fatal(err)
	}
	return r.Run(ctx, time.Now().Add(d))
}

func TestRunThatCouldNotDoItsWorkEndsWithAnError(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		step    string
		runFor  time.Duration
		idle    time.Duration
		outcome relay.Outcome
		within  time.Duration
	}{
		"every fetch fails until the deadline":           {"fetch", 20 * time.Second, 0, relay.Deadline, 31 * time.Second},
		"every fetch fails and it has much time":         {"fetch", 15 * time.Minute, 0, relay.Failed, 45 * time.Second},
		"every fetch fails and it may leave when idle":   {"fetch", 15 * time.Minute, time.Second, relay.Failed, 45 * time.Second},
		"every renewal fails until the deadline":         {"renew", 20 * time.Second, 0, relay.Deadline, 31 * time.Second},
		"every renewal fails and it has much time":       {"renew", 15 * time.Minute, 0, relay.Failed, 45 * time.Second},
		"every renewal fails and it may leave when idle": {"renew", 15 * time.Minute, time.Second, relay.Idle, 15 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, func(w *world) {
				w.cfg.IdleExit = c.idle
				w.store.Enqueue(event("a", 0))
				w.failing(c.step, 0)
				began := time.Now()
				sum, err := w.end(w.Context(), c.runFor)
				if !errors.Is(err, errDown) || sum.Outcome != c.outcome || sum.Published != 0 {
					w.Errorf("summary %+v, error %v", sum, err)
				}
				if took := time.Since(began); took > c.within {
					w.Errorf("the run took %v", took)
				}
			})
		})
	}
}

func TestRunWhoseOnlyFetchGetsNoAnswerEndsWithAnError(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		w.store.Before = func(ctx context.Context, step string) error {
			if step == "fetch" {
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		}
		if sum, err := w.end(w.Context(), 4*time.Second); !errors.Is(err, context.Canceled) || sum.Outcome != relay.Deadline {
			w.Errorf("summary %+v, error %v", sum, err)
		}
	})
}

func TestRunThatDidItsWorkAtFirstEndsWithoutAnError(t *testing.T) {
	t.Parallel()
	for _, step := range []string{"fetch", "renew"} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			inWorld(t, func(w *world) {
				w.store.Enqueue(event("a", 0))
				w.failing(step, 2*time.Second)
				if sum, err := w.end(w.Context(), 5*time.Minute); err != nil || sum.Outcome != relay.Deadline || sum.Published != 1 {
					w.Errorf("summary %+v, error %v", sum, err)
				}
			})
		})
	}
}

func TestRunThatIsCanceledOrEndsAtOnceEndsWithoutAnError(t *testing.T) {
	t.Parallel()
	t.Run("canceled while every fetch fails", func(t *testing.T) {
		t.Parallel()
		inWorld(t, func(w *world) {
			w.failing("fetch", 0)
			ctx, cancel := context.WithCancel(w.Context())
			w.after(10*time.Second, cancel)
			if sum, err := w.end(ctx, time.Hour); err != nil || sum.Outcome != relay.Canceled || sum.FetchErrors == 0 {
				w.Errorf("summary %+v, error %v", sum, err)
			}
		})
	})
	t.Run("ended at once", func(t *testing.T) {
		t.Parallel()
		inWorld(t, func(w *world) {
			if sum, err := w.end(w.Context(), 0); err != nil || sum.Outcome != relay.Deadline {
				w.Errorf("summary %+v, error %v", sum, err)
			}
		})
	})
}
