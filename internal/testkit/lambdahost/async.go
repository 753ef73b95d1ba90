//go:build unix

package lambdahost

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
)

// InvokeAsync queues an event and returns its request id at once, or [ErrClosed].
// Config.Done is called with the result of each attempt, throttled ones included. A
// throttled attempt is made again any number of times; a failed one is not, as
// template.yaml asks of Lambda. An event whose next attempt would come after
// Config.MaxEventAge is dropped with [ErrExpired]. When ctx ends, an event that waits for
// an attempt is dropped with the cause of that end, and a running attempt goes on.
func (f *Function) InvokeAsync(ctx context.Context, payload []byte) (requestID string, err error) {
	if err := f.enter(); err != nil {
		return "", err
	}
	requestID = uuid.NewString()
	go func() {
		defer f.pending.Done()
		f.deliver(ctx, requestID, payload)
	}()
	return requestID, nil
}

// deliver makes the attempts of one event until one is not throttled or the event is dropped, and calls Config.Done
// with each result.
func (f *Function) deliver(ctx context.Context, requestID string, payload []byte) {
	expires := time.Now().Add(f.cfg.MaxEventAge)
	for throttled := 1; ; throttled++ {
		r, err := f.attempt(requestID, payload)
		f.cfg.Done(r, err)
		if !errors.Is(err, ErrThrottled) {
			return
		}
		wait := f.cfg.ThrottleDelay(throttled)
		if time.Now().Add(wait).After(expires) {
			f.cfg.Done(Response{RequestID: requestID}, ErrExpired)
			return
		}
		if err := f.sleep(ctx, wait); err != nil {
			f.cfg.Done(Response{RequestID: requestID}, err)
			return
		}
	}
}

// sleep waits for d and returns nil. When ctx ends before, it returns the cause; when Close is called before, ErrClosed.
func (f *Function) sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-f.closing:
		return ErrClosed
	}
}
