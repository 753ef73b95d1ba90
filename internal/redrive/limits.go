package redrive

import (
	"context"
	"time"
)

// Ended returns why a run may not begin another transaction, or "" when it may: StopCanceled when ctx has ended,
// StopTime from the time until on, StopLimit when done, the number of events or lanes that the run has brought back so
// far, has reached the limit of the request. A limit of zero is none.
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

// Pause waits for as long as n events or lanes, which were brought back just now, take at the rate of the request, and
// returns "". Where the wait would last until the time until, it returns StopTime without a wait, and when ctx
// ends first, StopCanceled: then the run has to end. Without a rate, and in a dry run, it does not wait.
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
