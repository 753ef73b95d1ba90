//go:build unix

package chaos

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/lambdahost"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/rig"
)

// ownerPatience is how long a fault waits for a relay that owns shards.
const ownerPatience = 2 * time.Second

// owner returns the request id of the relay that owns the most shards. It waits for one, and returns "" after
// ownerPatience. It fails when ctx ends.
func (w *world) owner(ctx context.Context) (string, error) {
	deadline := time.Now().Add(ownerPatience)
	for time.Now().Before(deadline) {
		if name := w.Owner(ctx); name != "" {
			return name, nil
		}
		if err := rig.Pause(ctx, 10*time.Millisecond); err != nil {
			return "", err
		}
	}
	return "", nil
}

// excuse records that the fault was in effect from one time to another, and so explains the resends that
// i.kind.effect says.
func (w *world) excuse(i *injection, from, to time.Time) {
	w.Journal.Excuse(i.kind.name, i.kind.effect, from, to)
}

func (w *world) kill(ctx context.Context, i *injection) (int, error) {
	name, err := w.owner(ctx)
	if name == "" {
		return 0, err
	}
	from := time.Now()
	if err := w.Function.Kill(name); err != nil {
		if errors.Is(err, lambdahost.ErrNotRunning) {
			return 0, nil
		}
		return 0, fmt.Errorf("kill: %w", err)
	}
	w.excuse(i, from, time.Now())
	w.kills = append(w.kills, time.Now())
	return 1, nil
}

// stop returns a fault that freezes the relay that owns the most shards for the time i.lasts, or until its
// process is gone. With resume set, the process should outlive the freeze; otherwise it should meet its
// deadline and be gone. The fault returns 1 if that came true, else 0.
func stop(resume bool) inject {
	return func(w *world, ctx context.Context, i *injection) (int, error) {
		name, err := w.owner(ctx)
		if name == "" {
			return 0, err
		}
		from := time.Now()
		if err = w.Function.Pause(name); err != nil {
			if errors.Is(err, lambdahost.ErrNotRunning) {
				return 0, nil
			}
			return 0, fmt.Errorf("freeze: %w", err)
		}
		w.WillFreeze(name)
		for end := from.Add(i.lasts); time.Now().Before(end) && w.runs(name); {
			if err = rig.Pause(ctx, 10*time.Millisecond); err != nil {
				break
			}
		}
		gone := !w.runs(name)
		w.excuse(i, from, time.Now())
		if resumeErr := w.Function.Resume(name); resumeErr != nil && !errors.Is(resumeErr, lambdahost.ErrNotRunning) {
			err = errors.Join(err, fmt.Errorf("resume: %w", resumeErr))
		}
		if err != nil || resume == gone {
			return 0, err // The relay met its deadline during the freeze although it should resume, or did not meet it although it should.
		}
		return 1, nil
	}
}

func (w *world) runs(name string) bool {
	return slices.ContainsFunc(w.Function.Running(), func(r lambdahost.Running) bool { return r.RequestID == name })
}

func (w *world) ticks(ctx context.Context, i *injection) (int, error) {
	for n := range 4 {
		if n == 3 {
			if err := rig.Pause(ctx, i.lasts); err != nil {
				return 0, err
			}
		}
		if _, err := w.Function.InvokeAsync(ctx, lambdahost.SchedulerInput(time.Now())); err != nil {
			return 0, fmt.Errorf("tick: %w", err)
		}
	}
	return 1, nil
}
