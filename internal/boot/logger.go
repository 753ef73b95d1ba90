package boot

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/aws/aws-lambda-go/lambdacontext"
)

// Logger returns a logger that writes JSON lines in the form of Lambda's own,
// with the request id of the invocation that a record belongs to.
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

// requestHandler adds the request id of the invocation in the context to each record.
type requestHandler struct{ slog.Handler }

// Handle implements [slog.Handler].
func (h requestHandler) Handle(ctx context.Context, r slog.Record) error {
	if lc, ok := lambdacontext.FromContext(ctx); ok {
		r.AddAttrs(slog.String("requestId", lc.AwsRequestID)) //nolint:sloglint // the key of Lambda's own records
	}
	return h.Handler.Handle(ctx, r) //nolint:wrapcheck // a wrapper of the same interface
}

// WithAttrs implements [slog.Handler].
func (h requestHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return requestHandler{h.Handler.WithAttrs(attrs)}
}

// WithGroup implements [slog.Handler].
func (h requestHandler) WithGroup(name string) slog.Handler {
	return requestHandler{h.Handler.WithGroup(name)}
}

// LogLevel is a level, by the name that Lambda or slog gives it. The zero value is INFO and
// not set.
type LogLevel struct {
	slog.Level
	// set tells a variable that says INFO from one that is not set.
	set bool
}

// UnmarshalText implements [encoding.TextUnmarshaler].
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
