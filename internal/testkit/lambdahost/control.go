//go:build unix

package lambdahost

import "syscall"

// Running is an invocation that a process works on.
type Running struct {
	RequestID string
	PID       int
}

// Running returns the invocations that run now, in the order in which their processes were started.
func (f *Function) Running() []Running {
	var all []Running
	for _, e := range f.environments() {
		e.mu.Lock()
		if inv := e.current; inv != nil {
			all = append(all, Running{RequestID: inv.id, PID: e.cmd.Process.Pid})
		}
		e.mu.Unlock()
	}
	return all
}

// Kill ends the process that runs the invocation with SIGKILL. The invocation
// fails with TypeExit. Kill returns [ErrNotRunning] when no process runs it.
func (f *Function) Kill(requestID string) error { return f.signal(requestID, syscall.SIGKILL) }

// Pause stops the process that runs the invocation (SIGSTOP). The invocation's deadline stays. On Linux the process has
// stopped when Pause returns. Pause returns [ErrNotRunning] as Kill does.
func (f *Function) Pause(requestID string) error {
	e := f.running(requestID)
	if e == nil {
		return ErrNotRunning
	}
	if err := e.signal(syscall.SIGSTOP); err != nil {
		return err
	}
	return awaitStop(e.cmd.Process.Pid)
}

// Resume lets the process that runs the invocation go on after Pause. It returns [ErrNotRunning] as Kill does.
func (f *Function) Resume(requestID string) error { return f.signal(requestID, syscall.SIGCONT) }

// signal sends s to the process that runs the invocation, and to its children. It returns ErrNotRunning when none does.
func (f *Function) signal(requestID string, s syscall.Signal) error {
	if e := f.running(requestID); e != nil {
		return e.signal(s)
	}
	return ErrNotRunning
}

// running returns the environment whose process runs the invocation, nil when none does.
func (f *Function) running(requestID string) *environment {
	for _, e := range f.environments() {
		if requestID != "" && e.requestID() == requestID && !e.gone() {
			return e
		}
	}
	return nil
}
