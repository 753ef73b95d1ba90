//go:build unix

package lambdahost

import (
	"context"
	"encoding/json"
	"strconv"
	"sync"
	"time"

	"github.com/google/uuid"
)

// Schedule invokes a function at a fixed rate, as EventBridge Scheduler does:
// asynchronously, so that a run may outlast the period.
type Schedule struct {
	// Every is the period, more than 0. Required.
	Every time.Duration
	// Payload returns the input of a tick. Defaults to [SchedulerInput].
	Payload func(Tick) []byte
	// Duplicates returns how many times tick n, from 0, is delivered once more:
	// the service promises at least once. Defaults to never.
	Duplicates func(n int) int
	// Late returns by how much tick n is delivered late: the service promises a
	// precision of 60 s. Defaults to not at all.
	Late func(n int) time.Duration
}

// Tick is one firing of a schedule.
type Tick struct {
	// N counts the ticks from 0.
	N int
	// ScheduledTime is when the tick was due.
	ScheduledTime time.Time
	// ExecutionID is the same for a duplicate.
	ExecutionID string
	// Attempt is the number of the delivery, from 1: a duplicate has the next one.
	Attempt int
}

// Invoker takes asynchronous events; [Function] is one.
type Invoker interface {
	// InvokeAsync queues an event and returns its request id. An error means that no more events are taken.
	InvokeAsync(ctx context.Context, payload []byte) (requestID string, err error)
}

// SchedulerInput returns a payload with the context attributes of EventBridge
// Scheduler (https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-schedule-context-attributes.html).
func SchedulerInput(t Tick) []byte {
	b, err := json.Marshal(map[string]string{
		"scheduled-time": t.ScheduledTime.UTC().Format(time.RFC3339),
		"execution-id":   t.ExecutionID,
		"attempt-number": strconv.Itoa(t.Attempt),
	})
	if err != nil {
		panic(err) // Strings always encode.
	}
	return b
}

// Run fires at once and then every period, until ctx ends or fn returns an error. Ticks that Late still delays then
// are dropped, and Run returns once no tick is under way.
func (s Schedule) Run(ctx context.Context, fn Invoker) {
	if s.Payload == nil {
		s.Payload = SchedulerInput
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	defer wg.Wait()
	ticker := time.NewTicker(s.Every)
	defer ticker.Stop()
	due := time.Now()
	for n := 0; ; n++ {
		t := Tick{N: n, ScheduledTime: due, ExecutionID: uuid.NewString()}
		wg.Go(func() {
			if !s.fire(ctx, fn, t) {
				cancel()
			}
		})
		select {
		case due = <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// fire delivers one tick, late and with duplicates as s says, and reports whether fn still takes events. A tick that
// is late when ctx ends is dropped, and fire returns true.
func (s Schedule) fire(ctx context.Context, fn Invoker, t Tick) bool {
	if s.Late != nil {
		timer := time.NewTimer(s.Late(t.N))
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return true
		}
	}
	deliveries := 1
	if s.Duplicates != nil {
		deliveries += s.Duplicates(t.N)
	}
	for t.Attempt = 1; t.Attempt <= deliveries; t.Attempt++ {
		if _, err := fn.InvokeAsync(ctx, s.Payload(t)); err != nil {
			return false
		}
	}
	return true
}
