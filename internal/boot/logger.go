package boot

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/aws/aws-lambda-go/lambdacontext"
)

// Logger returns a logger that writes to w JSON lines in the form of Lambda's own, each with the request id of the
// invocation in the context of the call. Its level is LogLevel, or LambdaLogLevel where LogLevel is not set.
func (p *Process) Logger(w io.Writer) *slog.Logger {
	level := p.LambdaLogLevel.Level
	if p.LogLevel.set {
		level = p.LogLevel.Level
	}
	return slog.New(requestHandler{slog.NewJSONHandler(w, &slog.HandlerOptions{
		Level:       level,
		ReplaceAttr: lambdacontext.ReplaceAttr,
	})})
}

// requestHandler adds to each record the request id of the invocation that is in the context of the call.
type requestHandler struct{ slog.Handler }

// Handle implements [slog.Handler]. It leaves a record as it is where ctx is of no invocation.
func (h requestHandler) Handle(ctx context.Context, r slog.Record) error {
	if lc, ok := lambdacontext.FromContext(ctx); ok {
		r.AddAttrs(slog.String("requestId", lc.AwsRequestID)) //nolint:sloglint // the key of Lambda's own records
	}
	return h.Handler.Handle(ctx, r) //nolint:wrapcheck // a wrapper of the same interface
}

// WithAttrs implements [slog.Handler]. Its handler adds request ids too.
func (h requestHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return requestHandler{h.Handler.WithAttrs(attrs)}
}

// WithGroup implements [slog.Handler]. Its handler adds request ids too.
func (h requestHandler) WithGroup(name string) slog.Handler {
	return requestHandler{h.Handler.WithGroup(name)}
}

// LogLevel is the value of a variable for the level of the log. The zero value is a variable that is not set.
type LogLevel struct {
	slog.Level
	// set is true when the variable is set: INFO is the zero value of Level.
	set bool
}

// UnmarshalText accepts the names of slog's levels, and Lambda's TRACE as DEBUG and FATAL as ERROR, in any case.
func (l *LogLevel) UnmarshalText(text []byte) error {
	l.set = true
	switch strings.ToUpper(string(text)) {
	case "TRACE", "DEBUG":
		l.Level = slog.LevelDebug
	case "INFO":
		l.Level = slog.LevelInfo
	case "WARN":
		l.Level = slog.LevelWarn
	case "ERROR", "FATAL":
		l.Level = slog.LevelError
	default:
		return fmt.Errorf("%q is not a level", text)
	}
	return nil
}
