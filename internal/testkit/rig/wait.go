//go:build unix

package rig

import (
	"context"
	_ "embed"
	"time"
)

//go:embed pending.sql
var pendingSQL string

// Pause waits for d, or until ctx ends, and then returns the cause of that.
func Pause(ctx context.Context, d time.Duration) error {
	_, err := PauseUnless(ctx, nil, d)
	return err
}

// PauseUnless waits for d, or until stop is closed, and reports whether it was. It
// returns the cause when ctx ends first.
func PauseUnless(ctx context.Context, stop <-chan struct{}, d time.Duration) (stopped bool, err error) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-stop:
		return true, nil
	case <-ctx.Done():
		return false, context.Cause(ctx)
	case <-timer.C:
		return false, nil
	}
}

// Drain waits until no event is pending, or until ctx ends, and then returns the cause
// of that.
func (w *World) Drain(ctx context.Context) error {
	for {
		var pending int
		if err := w.Pool.QueryRow(ctx, pendingSQL).Scan(&pending); err == nil && pending == 0 {
			return nil
		}
		if err := Pause(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
}
