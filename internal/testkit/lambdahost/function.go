//go:build unix

package lambdahost

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/google/uuid"
)

// Function is a Lambda function. Its methods may be called concurrently.
type Function struct {
	cfg Config

	// mu guards the fields below but closing and pending.
	mu      sync.Mutex
	closed  bool
	closing chan struct{}         // closed when closed is set
	started int                   // the number of environments started so far
	live    map[*environment]bool // the busy and the idle ones, each with the value true
	idle    []*environment        // the one used last is last
	pending sync.WaitGroup        // counts the invocations and asynchronous events that have not ended
}

// Response is the result of an invocation.
type Response struct {
	// RequestID is the same for all attempts of an asynchronous event.
	RequestID string
	// Payload is what the handler returned. It is nil after an error.
	Payload []byte
	// ColdStart is the time from the start of the process to its first request
	// for an invocation. It is 0 for a process that had run before.
	ColdStart time.Duration
	// Duration is the time from the handing over of the event until the process asked for
	// the next one, ended or was killed. It is 0 when the handler was not reached.
	Duration time.Duration
}

// New returns a function, or an error that names each bad field of cfg. It starts no process before the first
// invocation.
func New(cfg Config) (*Function, error) {
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("lambdahost: %w", err)
	}
	if err := cfg.setDefaults(); err != nil {
		return nil, fmt.Errorf("lambdahost: %w", err)
	}
	return &Function{cfg: cfg, live: map[*environment]bool{}, closing: make(chan struct{})}, nil
}

// Invoke runs the function and returns what it answered. The error is a
// [*FunctionError] when it ran and failed, [ErrThrottled] or [ErrClosed] when it did
// not run, and another one when its process could not be started or signalled. When ctx
// ends, Invoke returns the cause and the invocation goes on, as with a client of Lambda
// that hangs up.
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

// enter adds one to pending, which the caller takes off at its end. It returns ErrClosed, and adds none, when the
// function is closed.
func (f *Function) enter() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return ErrClosed
	}
	f.pending.Add(1)
	return nil
}

// attempt runs one invocation in an environment that has no other at the time, and returns what Invoke returns.
func (f *Function) attempt(requestID string, payload []byte) (Response, error) {
	r := Response{RequestID: requestID}
	e, err := f.acquire()
	if err != nil {
		return r, err
	}
	err = e.invoke(&invocation{id: requestID, payload: payload}, &r)
	f.release(e)
	return r, err
}

// acquire returns the idle environment that was used last, or else a new one. It errs with
// [ErrThrottled], or when no process could be started.
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

// release makes an environment idle, or forgets it when its process has ended.
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
// any other. No process is left when it returns. Its error says that invocations were
// cut off. Asynchronous events that wait for an attempt are dropped.
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
			err = errors.Join(err, e.signal(syscall.SIGKILL))
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

// environments returns the busy and the idle environments, by id.
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
