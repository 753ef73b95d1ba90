//go:build unix

package rig

import (
	"context"
	_ "embed"
	"time"
)

//go:embed pending.sql
var pendingSQL string

// Pause waits for d and returns nil, or the cause of the end of ctx when that comes first.
func Pause(ctx context.Context, d time.Duration) error {
	_, err := PauseUnless(ctx, nil, d)
	return err
}

// PauseUnless waits for d and returns false, or returns true as soon as stop is closed. It
// returns the cause of the end of ctx when that comes first. A nil stop is never closed.
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

// Drain waits until the hot table has no unsent event, blocked ones included, and returns
// nil, or the cause of the end of ctx when that comes first. It asks every 50 ms, also
// after failures of the database.
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
