package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/lambdacontext"

	"github.com/serverless-outbox/serverless-outbox/internal/redrive"
)

// environment is what lasts from one invocation to the next.
type environment interface {
	// Run does what the request asks and starts nothing after until. Nothing
	// that it started runs when it returns.
	Run(ctx context.Context, requestID string, req redrive.Request, until time.Time) (redrive.Answer, error)
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

// Handle does what the request in the payload asks, until the margin before the
// function's timeout. Its error says what to change; what happens on the way is
// in the answer. An environment that failed is closed and made anew by the next
// invocation.
func (h *handler) Handle(ctx context.Context, payload json.RawMessage) (redrive.Answer, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	answer, err := h.run(ctx, payload)
	if err != nil {
		h.logger.LogAttrs(ctx, slog.LevelError, "redrive failed", slog.Any("error", err))
		return answer, err
	}
	h.logger.LogAttrs(ctx, slog.LevelInfo, "redrive ended",
		slog.String("action", string(answer.Action)),
		slog.String("source", string(answer.Source)),
		slog.Bool("dry_run", answer.DryRun),
		slog.Int("redriven", answer.Redriven),
		slog.Int("matched", answer.Matched),
		slog.Int("skipped", answer.Skipped),
		slog.Int("unconfirmed", answer.Unconfirmed),
		slog.Int("failed", answer.Failed),
		slog.Int("groups_stopped", answer.GroupsStopped),
		slog.Bool("more", answer.More),
		slog.String("stopped", string(answer.Stopped)),
		slog.String("problem", answer.Problem),
		slog.Float64("seconds", answer.Seconds))
	return answer, nil
}

func (h *handler) run(ctx context.Context, payload json.RawMessage) (redrive.Answer, error) {
	req, err := redrive.Parse(payload)
	if err != nil {
		return redrive.Answer{}, err
	}
	deadline, ok := ctx.Deadline()
	if !ok {
		return redrive.Answer{}, errors.New("the invocation has no deadline")
	}
	until := deadline.Add(-h.margin)
	if time.Until(until) <= 0 {
		return redrive.Answer{}, fmt.Errorf("the function's timeout leaves no time before OUTBOX_REDRIVE_MARGIN (%v): raise the timeout", h.margin)
	}
	if h.env == nil {
		if h.env, err = h.open(ctx); err != nil {
			h.env = nil
			return redrive.Answer{}, fmt.Errorf("start: %w", err)
		}
	}
	requestID := ""
	if lc, found := lambdacontext.FromContext(ctx); found {
		requestID = lc.AwsRequestID
	}
	answer, err := h.env.Run(ctx, requestID, req, until)
	if err != nil {
		h.env.Close()
		h.env = nil
		return redrive.Answer{}, fmt.Errorf("run: %w", err)
	}
	return answer, nil
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
