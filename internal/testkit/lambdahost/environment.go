//go:build unix

package lambdahost

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// environment is one process and the Runtime API that it talks to. Between
// Function.acquire and Function.release only one goroutine calls invoke.
type environment struct {
	cfg     *Config
	id      int // from 1
	cmd     *exec.Cmd
	server  *http.Server // the Runtime API
	started time.Time
	exited  chan struct{} // closed when the process has ended and its output is read
	exitErr error         // from Wait; valid once exited is closed

	polls      chan poll   // requests for the next invocation
	waiting    *poll       // the process's request that has no answer yet; nil while the process starts or runs the handler
	registered atomic.Bool // whether the process has registered an extension

	// mu guards the fields below.
	mu      sync.Mutex
	current *invocation    // the one that runs, nil between two
	initErr *FunctionError // the error with which the process reported that it cannot start, or nil
}

// poll is a request of the process for its next invocation, made at the time at. The answer is the invocation that is
// sent to deliver.
type poll struct {
	at      time.Time
	deliver chan *invocation
}

// invocation is one run of the handler.
type invocation struct {
	id       string
	payload  []byte
	deadline time.Time
	// response and failure are the answer, at most one of the two; environment.mu
	// guards them.
	response []byte
	failure  *FunctionError
}

// shutdownGrace is what a process with an internal extension gets after
// SIGTERM (https://docs.aws.amazon.com/lambda/latest/dg/runtimes-extensions-api.html).
const shutdownGrace = 500 * time.Millisecond

// pipeGrace bounds the wait for the end of a dead process's output, which its children
// may keep open.
const pipeGrace = time.Second

// startEnvironment starts the process of cfg.Binary and its Runtime API, and does not wait for the process's first
// request. id numbers the environment, from 1.
func startEnvironment(cfg *Config, id int) (*environment, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // It listens for as long as the process runs.
	if err != nil {
		return nil, err
	}
	e := &environment{cfg: cfg, id: id, exited: make(chan struct{}), polls: make(chan poll, 1)}
	e.server = &http.Server{Handler: e.handler(), ReadHeaderTimeout: time.Minute}
	stdout, stderr := e.writer(), e.writer()
	//nolint:gosec,noctx // Running the caller's program is the purpose; it ends by Close.
	e.cmd = exec.Command(cfg.Binary)
	e.cmd.Dir = filepath.Dir(cfg.Binary)
	e.cmd.Env = cfg.environ(l.Addr().String(), id)
	e.cmd.Stdout, e.cmd.Stderr = stdout, stderr
	e.cmd.WaitDelay = pipeGrace
	// A group of its own: signals reach its children too, the terminal's
	// interrupt does not reach it, and the system ends it, even frozen, when
	// this process dies, because its group is then orphaned.
	e.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	e.started = time.Now()
	if err := e.cmd.Start(); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	go e.server.Serve(l) //nolint:errcheck // It ends when the process has.
	go func() {
		e.exitErr = e.cmd.Wait()
		stdout.flush()
		stderr.flush()
		close(e.exited)
		_ = e.server.Close() // Its only client has ended.
	}()
	return e, nil
}

// gone reports whether the process has ended.
func (e *environment) gone() bool {
	select {
	case <-e.exited:
		return true
	default:
		return false
	}
}

// invoke gives the invocation to the process and waits until the process asks for the next
// one, or kills the process at the deadline. It sets the times and the payload of r. The
// error is a *FunctionError when the invocation failed. When invoke returns, the process is
// frozen or has ended.
func (e *environment) invoke(inv *invocation, r *Response) error {
	if e.waiting == nil {
		if err := e.waitInit(inv.id, r); err != nil {
			return err
		}
	} else if err := e.signal(syscall.SIGCONT); err != nil {
		return err
	}
	start := time.Now()
	inv.deadline = start.Add(e.cfg.Timeout)
	e.setCurrent(inv)
	defer e.setCurrent(nil)
	timer := time.NewTimer(e.cfg.Timeout)
	defer timer.Stop()
	select {
	case e.waiting.deliver <- inv:
	case <-e.exited:
		return exitError(inv.id, e.exitErr)
	case <-timer.C:
		return e.timeout(inv.id, e.cfg.Timeout)
	}
	e.waiting = nil
	select {
	case p := <-e.polls:
		e.waiting = &p
		r.Duration = p.at.Sub(start)
	case <-e.exited:
		r.Duration = time.Since(start)
		if err := e.answer(inv, r); err != nil {
			return err
		}
		if r.Payload != nil {
			return nil
		}
		return exitError(inv.id, e.exitErr)
	case <-timer.C:
		r.Duration = time.Since(start)
		return e.timeout(inv.id, e.cfg.Timeout)
	}
	err := e.answer(inv, r)
	if ferr := e.signal(syscall.SIGSTOP); ferr != nil && !e.gone() {
		return errors.Join(err, ferr)
	}
	return err
}

// answer sets r.Payload to the handler's answer, nil when there is none, unless the process reported an error for the
// invocation: answer then returns that error.
func (e *environment) answer(inv *invocation, r *Response) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if inv.failure != nil {
		return inv.failure
	}
	r.Payload = inv.response
	return nil
}

// waitInit waits for the first request of a new process, keeps it in e.waiting, and sets r.ColdStart. It returns a
// *FunctionError when the process ends before, and kills the process and returns one after Config.InitTimeout.
func (e *environment) waitInit(requestID string, r *Response) error {
	timer := time.NewTimer(e.cfg.InitTimeout)
	defer timer.Stop()
	select {
	case p := <-e.polls:
		e.waiting = &p
		r.ColdStart = p.at.Sub(e.started)
		return nil
	case <-e.exited:
		e.mu.Lock()
		defer e.mu.Unlock()
		if e.initErr != nil {
			e.initErr.RequestID = requestID
			return e.initErr
		}
		return exitError(requestID, e.exitErr)
	case <-timer.C:
		return e.timeout(requestID, e.cfg.InitTimeout)
	}
}

// timeout kills the process, waits for its end, and returns the error of an invocation that took longer than limit.
func (e *environment) timeout(requestID string, limit time.Duration) error {
	err := e.signal(syscall.SIGKILL)
	<-e.exited
	return errors.Join(&FunctionError{
		RequestID: requestID, Type: TypeTimeout,
		Message: fmt.Sprintf("RequestId: %s Error: Task timed out after %.2f seconds", requestID, limit.Seconds()),
	}, err)
}

// setCurrent sets the invocation that runs; nil is none.
func (e *environment) setCurrent(inv *invocation) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.current = inv
}

// requestID returns the id of the invocation that runs, or "".
func (e *environment) requestID() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.current == nil {
		return ""
	}
	return e.current.id
}

// signal sends s to the process and its children. A process that is gone is no error.
func (e *environment) signal(s syscall.Signal) error {
	if e.gone() {
		return nil
	}
	if err := syscall.Kill(-e.cmd.Process.Pid, s); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("signal %v to environment %d: %w", s, e.id, err)
	}
	return nil
}

// shutdown ends an idle process and waits for its end. One that registered an extension gets SIGTERM and, after
// shutdownGrace, SIGKILL; any other gets SIGKILL at once.
func (e *environment) shutdown() {
	if e.registered.Load() && e.signal(syscall.SIGCONT) == nil && e.signal(syscall.SIGTERM) == nil {
		timer := time.NewTimer(shutdownGrace)
		defer timer.Stop()
		select {
		case <-e.exited:
			return
		case <-timer.C:
		}
	}
	_ = e.signal(syscall.SIGKILL) // It fails only for a process that is gone.
	<-e.exited
}
