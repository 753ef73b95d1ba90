//go:build unix

package lambdahost

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
)

// Function is a Lambda function. Its methods may be called concurrently.
type Function struct {
	cfg Config

	mu      sync.Mutex
	closed  bool
	closing chan struct{}
	started int
	live    map[*environment]bool
	idle    []*environment
	pending sync.WaitGroup // counts invocations and asynchronous events under way
}

// Response is the result of an invocation.
type Response struct {
	// RequestID is the same for all attempts of an asynchronous event.
	RequestID string
	// Payload is what the handler returned. It is nil after an error.
	Payload []byte
	// Environment numbers the process that ran it, from 1; 0 when none did.
	Environment int
	// ColdStart is the time from the start of the process to its first request
	// for an invocation. It is 0 for a process that had run before.
	ColdStart time.Duration
	// Duration is the time in the handler.
	Duration time.Duration
}

// New returns a function. It starts no process before the first invocation.
func New(cfg Config) (*Function, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("lambdahost: %w", err)
	}
	if err := cfg.setDefaults(); err != nil {
		return nil, fmt.Errorf("lambdahost: %w", err)
	}
	return &Function{cfg: cfg, live: map[*environment]bool{}, closing: make(chan struct{})}, nil
}

// Invoke runs the function and returns what it answered. The error is a
// [*FunctionError] when it ran and failed, and [ErrThrottled] or [ErrClosed]
// when it did not run. When ctx ends, Invoke returns and the invocation goes on,
// as with a client of Lambda that hangs up.
func (f *Function) Invoke(ctx context.Context, payload []byte) (Response, error) {
	type outcome struct {
		r   Response
		err error
	}
	if err := f.enter(); err != nil {
		return Response{}, err
	}
	done := make(chan outcome, 1)
	go func() {
		defer f.pending.Done()
		r, err := f.attempt(uuid.NewString(), payload)
		f.cfg.Done(r, err)
		done <- outcome{r, err}
	}()
	select {
	case o := <-done:
		return o.r, o.err
	case <-ctx.Done():
		return Response{}, context.Cause(ctx)
	}
}

// enter counts the caller as pending unless the function is closed.
func (f *Function) enter() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return ErrClosed
	}
	f.pending.Add(1)
	return nil
}

// attempt runs one invocation in an environment of its own.
func (f *Function) attempt(requestID string, payload []byte) (Response, error) {
	r := Response{RequestID: requestID}
	e, err := f.acquire()
	if err != nil {
		return r, err
	}
	r.Environment = e.id
	err = e.invoke(&invocation{id: requestID, payload: payload}, &r)
	f.release(e)
	return r, err
}

// acquire returns the idle environment that was used last, or else a new one, or
// [ErrThrottled].
func (f *Function) acquire() (*environment, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for n := len(f.idle); n > 0; n = len(f.idle) {
		e := f.idle[n-1]
		f.idle = f.idle[:n-1]
		if !e.gone() {
			return e, nil
		}
		delete(f.live, e)
	}
	if len(f.live) >= f.cfg.MaxConcurrency {
		return nil, ErrThrottled
	}
	e, err := startEnvironment(&f.cfg, f.started+1)
	if err != nil {
		return nil, fmt.Errorf("start an environment: %w", err)
	}
	f.started++
	f.live[e] = true
	return e, nil
}

func (f *Function) release(e *environment) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if e.gone() {
		delete(f.live, e)
		return
	}
	f.idle = append(f.idle, e)
}

// Close takes no more invocations, waits for the ones that run until ctx ends,
// kills what is left, and ends the idle environments the way Lambda does:
// SIGTERM and 500 ms for a process that registered an extension, SIGKILL for
// any other. No process is left when it returns.
func (f *Function) Close(ctx context.Context) error {
	f.mu.Lock()
	if !f.closed {
		f.closed = true
		close(f.closing)
	}
	f.mu.Unlock()
	idle := make(chan struct{})
	go func() {
		f.pending.Wait()
		close(idle)
	}()
	var err error
	select {
	case <-idle:
	case <-ctx.Done():
		err = fmt.Errorf("close: invocations were cut off: %w", context.Cause(ctx))
		for _, e := range f.environments() {
			err = errors.Join(err, e.kill())
		}
		<-idle
	}
	var wg sync.WaitGroup
	for _, e := range f.environments() {
		wg.Go(e.shutdown)
	}
	wg.Wait()
	return err
}

func (f *Function) environments() []*environment {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := make([]*environment, 0, len(f.live))
	for e := range f.live {
		all = append(all, e)
	}
	slices.SortFunc(all, func(a, b *environment) int { return a.id - b.id })
	return all
}
