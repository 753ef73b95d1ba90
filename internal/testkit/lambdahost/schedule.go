//go:build unix

package lambdahost

import (
	"context"
	"encoding/json"
	"time"

	"github.com/google/uuid"
)

// Invoker takes asynchronous events; [Function] is one.
type Invoker interface {
	// InvokeAsync queues an event and returns its request id. An error means that no more events are taken.
	InvokeAsync(ctx context.Context, payload []byte) (requestID string, err error)
}

// SchedulerInput returns the payload of a tick that was due at the given time: the context attributes of EventBridge
// Scheduler (https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-schedule-context-attributes.html), with a
// new execution id.
func SchedulerInput(due time.Time) []byte {
	b, err := json.Marshal(map[string]string{
		"scheduled-time": due.UTC().Format(time.RFC3339),
		"execution-id":   uuid.NewString(),
		"attempt-number": "1",
	})
	if err != nil {
		panic(err) // Strings always encode.
	}
	return b
}

// Schedule invokes fn with [SchedulerInput] at once and then every period, which must be positive, until ctx ends or
// fn returns an error. As with EventBridge Scheduler, an invocation may outlast the period.
func Schedule(ctx context.Context, period time.Duration, fn Invoker) {
	ticker := time.NewTicker(period)
	defer ticker.Stop()
	due := time.Now()
	for {
		if _, err := fn.InvokeAsync(ctx, SchedulerInput(due)); err != nil {
			return
		}
		select {
		case due = <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}
