package redrive

import (
	"context"
	"time"
)

// Ended returns why a run may not begin another transaction, and nothing when it
// may: ctx ended, the time is until, or done, the number of events brought back so
// far, has reached the limit of the request.
func (r *Request) Ended(ctx context.Context, until time.Time, done int) Stop {
	switch {
	case ctx.Err() != nil:
		return StopCanceled
	case !time.Now().Before(until):
		return StopTime
	case r.Limit > 0 && done >= r.Limit:
		return StopLimit
	}
	return ""
}

// Pause waits so long that n events, brought back just now, keep to the rate of
// the request. It returns why the run ends instead, and nothing when it goes on:
// StopTime, without a wait, where the wait would last until the time until, and
// StopCanceled when ctx ends. A dry run does not wait.
func (r *Request) Pause(ctx context.Context, n int, until time.Time) Stop {
	if r.Rate <= 0 || n == 0 || r.DryRun {
		return ""
	}
	wait := time.Duration(float64(n) / r.Rate * float64(time.Second))
	if time.Until(until) <= wait {
		return StopTime
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ""
	case <-ctx.Done():
		return StopCanceled
	}
}
