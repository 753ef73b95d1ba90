package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/serverless-outbox/serverless-outbox/internal/janitor"
)

// environment is what lasts from one invocation to the next.
type environment interface {
	// Thaw makes ready for use after the environment may have been frozen.
	Thaw()
	// Run keeps the outbox until the time until at the latest. Nothing that it
	// started runs when it returns.
	Run(ctx context.Context, until time.Time) (janitor.Report, error)
	// Close gives everything back.
	Close()
}

// handler answers invocations. Lambda never makes two at once in one process.
type handler struct {
	logger *slog.Logger
	margin time.Duration
	open   func(ctx context.Context) (environment, error)

	mu  sync.Mutex
	env environment
}

func newHandler(logger *slog.Logger, margin time.Duration, open func(context.Context) (environment, error)) *handler {
	return &handler{logger: logger, margin: margin, open: open}
}

// Handle runs the janitor until the margin before the function's timeout. The
// event of the schedule is not looked at, so that any invocation will do. It
// fails when a step failed; the report is in the log then.
//
// An environment that failed is closed and made anew by the next invocation.
func (h *handler) Handle(ctx context.Context, _ json.RawMessage) (janitor.Report, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	report, err := h.run(ctx)
	if err != nil && h.env != nil {
		h.env.Close()
		h.env = nil
	}
	attrs := []slog.Attr{
		slog.Int64("partitions_made", report.Made),
		slog.Int64("partitions_archived", report.Archived),
		slog.Int64("rows_moved", report.Moved),
		slog.Int64("archive_partitions_dropped", report.Expired),
		slog.Int64("rows_exported", report.FileRows),
		slog.Float64("locked_seconds", report.LockedSeconds),
		slog.Int("findings", len(report.Findings)),
		slog.Bool("more", report.More),
		slog.Float64("seconds", report.Seconds),
	}
	if err != nil {
		h.logger.LogAttrs(ctx, slog.LevelError, "janitor failed", append(attrs, slog.Any("error", err))...)
		return report, err
	}
	h.logger.LogAttrs(ctx, slog.LevelInfo, "janitor ended", attrs...)
	return report, nil
}

func (h *handler) run(ctx context.Context) (janitor.Report, error) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return janitor.Report{}, errors.New("the invocation has no deadline")
	}
	until := deadline.Add(-h.margin)
	if time.Until(until) <= 0 {
		return janitor.Report{}, fmt.Errorf("the function's timeout leaves no time before OUTBOX_MARGIN (%v): raise the timeout", h.margin)
	}
	if h.env == nil {
		opening, cancel := context.WithDeadline(ctx, until)
		defer cancel()
		env, err := h.open(opening)
		if err != nil {
			return janitor.Report{}, fmt.Errorf("start: %w", err)
		}
		h.env = env
	}
	h.env.Thaw()
	report, err := h.env.Run(ctx, until)
	if err != nil {
		return report, fmt.Errorf("run: %w", err)
	}
	return report, nil
}

// close gives the connections back when Lambda shuts the environment down. It
// does not wait for a run: SIGTERM comes to an idle environment only.
func (h *handler) close() {
	if !h.mu.TryLock() {
		return
	}
	defer h.mu.Unlock()
	if h.env != nil {
		h.env.Close()
		h.env = nil
	}
}
