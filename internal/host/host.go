// Package host answers the invocations of a Lambda function. It keeps what a function opened from one invocation
// to the next, has each run come to its end a margin before the function's timeout, and logs the outcome.
package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
)

// prepareTimeout is the longest time that Prepare takes. It ends within the ten seconds of Lambda's init phase,
// after which Lambda would start the process again.
const prepareTimeout = 8 * time.Second

// Environment is what a function opens once and uses in many invocations, such as its clients and its pool. Its
// methods are called one at a time. Q is the type of the requests and A that of the answers.
type Environment[Q, A any] interface {
	// Thaw is called before each Run. It makes the environment ready after Lambda may have frozen the process for
	// minutes.
	Thaw()
	// Run does what the call asks, and starts nothing new at call.Until: it returns well before the function's
	// timeout, which is a margin later. No goroutine that it started runs on when it returns. After an error the
	// host closes the environment, and the next invocation opens another one.
	Run(ctx context.Context, call Call[Q]) (A, error)
	// Close closes everything that is open in the environment. No other method is called after Close.
	Close()
}

// Call is one invocation of the function.
type Call[Q any] struct {
	// RequestID is Lambda's id of the invocation, empty outside Lambda.
	RequestID string
	// Until is the time at which the run must start to end: the function's timeout less [Config].Margin.
	Until time.Time
	// Request is what Config.Parse read from the payload, zero without a Parse.
	Request Q
}

// None is the request of a function that does not read its payload, such as one that a schedule invokes.
type None struct{}

// Config describes a Lambda function to its [Host]. All fields but Parse and MarginVariable are required.
type Config[Q, A any] struct {
	// Name is the first word of the log record about the end of an invocation, such as relay in "relay ended" and
	// "relay failed".
	Name   string
	Logger *slog.Logger
	// Margin is how long before the function's timeout a run must start to end: the time that its end may take.
	Margin time.Duration
	// MarginVariable is the environment variable that sets Margin, for an error. It is empty where Margin is constant.
	MarginVariable string
	// Parse reads the payload of an invocation. Its error is the answer to the invocation and says what is wrong with
	// the request. Without Parse the payload is ignored, and the request is zero.
	Parse func(payload json.RawMessage) (Q, error)
	// Open makes the environment. Its context ends at Call.Until, or in Prepare after eight seconds. Its error is
	// that of the invocation, and the next invocation calls it again.
	Open func(ctx context.Context) (Environment[Q, A], error)
	// Attrs returns the attributes with which an answer is logged. Where no run began, the answer is zero.
	Attrs func(A) []slog.Attr
}

// Host answers the invocations of a function in one process. Lambda invokes a process once at a time; concurrent
// calls of Handle wait for each other.
type Host[Q, A any] struct {
	cfg Config[Q, A]

	mu  sync.Mutex
	env Environment[Q, A] // nil until opened
}

// New returns a host that has opened nothing yet.
func New[Q, A any](cfg Config[Q, A]) *Host[Q, A] { return &Host[Q, A]{cfg: cfg} }

// Start answers the invocations of Lambda's runtime API with Handle and does not return. On SIGTERM, which Lambda sends
// before it removes the process, it calls Close.
func (h *Host[Q, A]) Start(ctx context.Context) {
	lambda.StartWithOptions(h.Handle, lambda.WithContext(ctx), lambda.WithEnableSIGTERM(h.Close))
}

// Prepare opens the environment ahead of the first invocation, in Lambda's init phase, in which Lambda does not
// throttle processor time. It takes eight seconds at most. A failure is neither returned nor logged, because Lambda
// would only start the process again: the first invocation opens once more, and its error says what is wrong.
func (h *Host[Q, A]) Prepare(ctx context.Context) {
	h.mu.Lock()
	defer h.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, prepareTimeout)
	defer cancel()
	if env, err := h.cfg.Open(ctx); err == nil {
		h.env = env
	}
}

// Handle answers one invocation: it reads the payload, opens the environment when there is none, runs it until
// Config.Margin before the function's timeout, and logs how that ended. It fails when the payload cannot be read,
// when ctx has no deadline or one that leaves no time before the margin, and when Open or Run fail. After an
// error of Run it closes the environment, and the answer is what Run returned with the error.
func (h *Host[Q, A]) Handle(ctx context.Context, payload json.RawMessage) (A, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	answer, err := h.run(ctx, payload)
	attrs := h.cfg.Attrs(answer)
	if err != nil {
		h.cfg.Logger.LogAttrs(ctx, slog.LevelError, h.cfg.Name+" failed", append(attrs, slog.Any("error", err))...) //nolint:sloglint // one of three names
		return answer, err
	}
	h.cfg.Logger.LogAttrs(ctx, slog.LevelInfo, h.cfg.Name+" ended", attrs...) //nolint:sloglint // one of three names
	return answer, nil
}

func (h *Host[Q, A]) run(ctx context.Context, payload json.RawMessage) (A, error) {
	var (
		call Call[Q]
		none A
		err  error
	)
	if h.cfg.Parse != nil {
		if call.Request, err = h.cfg.Parse(payload); err != nil {
			return none, err
		}
	}
	if call.Until, err = h.until(ctx); err != nil {
		return none, err
	}
	if lc, ok := lambdacontext.FromContext(ctx); ok {
		call.RequestID = lc.AwsRequestID
	}
	if h.env == nil {
		opening, cancel := context.WithDeadline(ctx, call.Until)
		defer cancel()
		env, openErr := h.cfg.Open(opening)
		if openErr != nil {
			return none, fmt.Errorf("start: %w", openErr)
		}
		h.env = env
	}
	h.env.Thaw()
	answer, err := h.env.Run(ctx, call)
	if err != nil {
		h.drop()
		return answer, fmt.Errorf("run: %w", err)
	}
	return answer, nil
}

// until returns the deadline of ctx less Config.Margin. It fails when that time is over already, and when ctx has
// no deadline.
func (h *Host[Q, A]) until(ctx context.Context) (time.Time, error) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return time.Time{}, errors.New("the invocation has no deadline")
	}
	until := deadline.Add(-h.cfg.Margin)
	if time.Until(until) <= 0 {
		of := ""
		if h.cfg.MarginVariable != "" {
			of = " of " + h.cfg.MarginVariable
		}
		return time.Time{}, fmt.Errorf("the function's timeout leaves no time before the margin%s, %v: raise the timeout", of, h.cfg.Margin)
	}
	return until, nil
}

// Close closes the environment when Lambda shuts the process down. It does nothing while an invocation runs: Lambda
// sends SIGTERM between invocations.
func (h *Host[Q, A]) Close() {
	if !h.mu.TryLock() {
		return
	}
	defer h.mu.Unlock()
	h.drop()
}

// drop closes the environment, if there is one, so that the next invocation opens another.
func (h *Host[Q, A]) drop() {
	if h.env != nil {
		h.env.Close()
		h.env = nil
	}
}
