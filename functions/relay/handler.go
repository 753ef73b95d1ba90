package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/lambdacontext"

	"github.com/serverless-outbox/serverless-outbox/internal/boot"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

// prepareTimeout keeps the first attempt to open inside Lambda's init phase of
// ten seconds, after which Lambda would start the process again.
const prepareTimeout = 8 * time.Second

// environment is what lasts from one invocation to the next.
type environment interface {
	// Run carries events until the time until. Nothing that it started runs
	// when it returns.
	Run(ctx context.Context, name string, until time.Time) (relay.Summary, error)
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

// prepare opens the environment ahead of the first invocation, if it can.
func (h *handler) prepare(ctx context.Context) {
	h.mu.Lock()
	defer h.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, prepareTimeout)
	defer cancel()
	if env, err := h.open(ctx); err == nil {
		h.env = env
	}
}

// Handle runs a relay until the margin before the function's timeout. The event
// of the schedule is not looked at, so that any invocation will do.
//
// An environment that failed is closed and made anew by the next invocation.
func (h *handler) Handle(ctx context.Context, _ json.RawMessage) (relay.Summary, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	summary, err := h.run(ctx)
	if err != nil {
		h.logger.LogAttrs(ctx, slog.LevelError, "relay failed", slog.Any("error", err))
		if h.env != nil {
			h.env.Close()
			h.env = nil
		}
		return summary, err
	}
	h.logger.LogAttrs(ctx, slog.LevelInfo, "relay ended",
		slog.String("outcome", string(summary.Outcome)),
		slog.Int64("published", summary.Published),
		slog.Int64("settled", summary.Settled),
		slog.Int64("dead_letters", summary.DeadLetters),
		slog.Float64("seconds", summary.Seconds))
	return summary, nil
}

func (h *handler) run(ctx context.Context) (relay.Summary, error) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return relay.Summary{}, errors.New("the invocation has no deadline")
	}
	until := deadline.Add(-h.margin)
	if left := time.Until(until); left <= 0 {
		return relay.Summary{}, fmt.Errorf("the function's timeout leaves no time before OUTBOX_MARGIN (%v): raise the timeout", h.margin)
	}
	if h.env == nil {
		opening, cancel := context.WithDeadline(ctx, until)
		defer cancel()
		env, err := h.open(opening)
		if err != nil {
			return relay.Summary{}, fmt.Errorf("start: %w", err)
		}
		h.env = env
	}
	name := ""
	if lc, ok := lambdacontext.FromContext(ctx); ok {
		name = lc.AwsRequestID
	}
	summary, err := h.env.Run(ctx, name, until)
	if err != nil {
		return summary, fmt.Errorf("run: %w", err)
	}
	return summary, nil
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

// live is the environment of a deployed function.
type live struct{ *boot.RelayRuntime }

func open(ctx context.Context, cfg *boot.Relay, logger *slog.Logger, metrics io.Writer) (environment, error) {
	runtime, err := cfg.Open(ctx, logger, metrics)
	if err != nil {
		return nil, err
	}
	return live{runtime}, nil
}

// Run implements environment.
func (l live) Run(ctx context.Context, name string, until time.Time) (relay.Summary, error) {
	l.Thaw()
	cfg := l.Config
	cfg.Name = name
	r, err := relay.New(l.Store, cfg)
	if err != nil {
		return relay.Summary{}, err
	}
	l.Traces.Begin(ctx)
	defer l.Traces.End(ctx)
	return r.Run(ctx, until)
}
