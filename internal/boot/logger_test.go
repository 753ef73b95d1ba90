package boot

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"testing"

	"github.com/aws/aws-lambda-go/lambdacontext"
)

func TestRecordsCarryTheRequestIDAndLambdasKeys(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	logger := (&Process{}).Logger(&out).With(slog.String("part", "relay"))
	ctx := lambdacontext.NewContext(t.Context(), &lambdacontext.LambdaContext{AwsRequestID: "r-1"})
	logger.LogAttrs(ctx, slog.LevelInfo, "hello")
	logger.LogAttrs(ctx, slog.LevelDebug, "not this")

	var got map[string]any
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatalf("%v: %s", err, out.String())
	}
	if got["message"] != "hello" || got["level"] != "INFO" || got["requestId"] != "r-1" || got["part"] != "relay" || got["timestamp"] == nil {
		t.Errorf("record %v", got)
	}
}

func TestTheOutboxLevelWinsOverLambdas(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		outbox, lambda string
		want           slog.Level
	}{
		{"", "", slog.LevelInfo},
		{"", "TRACE", slog.LevelDebug},
		{"", "FATAL", slog.LevelError},
		{"info", "ERROR", slog.LevelInfo},
		{"WARN", "DEBUG", slog.LevelWarn},
	} {
		r, err := Parse[Relay](environ("OUTBOX_LOG_LEVEL", c.outbox, "AWS_LAMBDA_LOG_LEVEL", c.lambda))
		if err != nil {
			t.Fatal(err)
		}
		logger := r.Logger(&bytes.Buffer{})
		if !logger.Enabled(t.Context(), c.want) || logger.Enabled(t.Context(), c.want-1) {
			t.Errorf("%q over %q: not %v", c.outbox, c.lambda, c.want)
		}
	}
}
