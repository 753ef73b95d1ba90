//go:build unix

// Package process runs commands to their end, and servers that belong to this
// process: a server ends when this process ends, also when it is killed.
package process

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

//go:embed supervise.sh
var superviseScript string

// Config describes a server.
type Config struct {
	// Args are the program, with its path or one in /usr/bin or /bin, and its arguments. Required.
	Args []string
	// Account is the user that the server runs as, nil for that of this process.
	Account *Account
	// Log is the path of the file to which the server's output is appended; Await needs it to exist. Required.
	Log string
	// Signal is the signal that ends the server, without "SIG", such as "TERM". Required.
	Signal string
	// Remove is a directory that is removed, with all in it, after the server's end. Empty is none.
	Remove string
	// Lock is a file that the supervisor keeps open until the directory Remove is gone, so that its lock lasts. Nil
	// is none.
	Lock *os.File
}

// Process is a running server and the shell that supervises it. The shell outlives this process by the time that it
// takes to stop the server. The methods may be called concurrently.
type Process struct {
	name string        // of the program, for errors
	log  string        // the path of Config.Log
	hold *os.File      // a pipe: when it is closed, the shell stops the server
	done chan struct{} // closed when the server has ended, Config.Remove is gone and the shell has ended
	once sync.Once     // closes hold
}

// stopTimeout bounds the wait for a server's end. It is far above what a shutdown
// takes: an immediate one of PostgreSQL kills after five seconds what still runs.
const stopTimeout = 30 * time.Second

// Start starts the server and its supervisor. It does not wait until the server answers.
func Start(c Config) (*Process, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	lock := c.Lock
	if lock == nil {
		lock = r
	}
	cmd := exec.Command("/bin/sh", append([]string{"-c", superviseScript, "sh"}, c.Args...)...) //nolint:noctx // It ends by Stop, or with its owner.
	cmd.Env = []string{"PATH=/usr/bin:/bin", "LOG=" + c.Log, "SIGNAL=" + c.Signal, "REMOVE=" + c.Remove}
	cmd.Dir = "/"
	cmd.ExtraFiles = []*os.File{r, lock}
	cmd.SysProcAttr = c.Account.Attr()
	// A process group of its own: the terminal's interrupt reaches this process only.
	cmd.SysProcAttr.Setpgid = true
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, r.Close(), w.Close())
	}
	if err := r.Close(); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	p := &Process{name: filepath.Base(c.Args[0]), log: c.Log, hold: w, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		_ = cmd.Wait() // The exit code of a server that was stopped says nothing.
	}()
	return p, nil
}

// ErrPortTaken means that another process took the server's port before the server did.
var ErrPortTaken = errors.New("port is taken")

// Await waits until the server answers: it calls ready every 10 ms until ready returns nil. It fails when the server has
// ended, with ErrPortTaken where the log names that cause, and when ctx ends, then also with the last error of ready.
// Its errors have the end of the server's log.
func (p *Process) Await(ctx context.Context, ready func(context.Context) error) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	// The supervisor removes the log with the directory; a handle still reads it.
	log, err := os.Open(p.log)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.done:
			text := tail(log)
			if strings.Contains(text, "Address already in use") {
				return fmt.Errorf("%w\n%s", ErrPortTaken, text)
			}
			return fmt.Errorf("%s ended\n%s", p.name, text)
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w (%w)\n%s", p.name, context.Cause(ctx), err, tail(log))
		case <-tick.C:
		}
	}
}

// tail returns the last 2,000 bytes of a server's log, or why they cannot be read.
func tail(log io.Reader) string {
	const most = 2000
	b, err := io.ReadAll(log)
	if err != nil {
		return err.Error()
	}
	return string(bytes.TrimSpace(b[max(0, len(b)-most):]))
}

// Stop ends the server and waits for its end, at most stopTimeout; it errs when the server runs for longer. A second
// call only waits.
func (p *Process) Stop() error {
	var err error
	p.once.Do(func() { err = p.hold.Close() })
	t := time.NewTimer(stopTimeout)
	defer t.Stop()
	select {
	case <-p.done:
		return err
	case <-t.C:
		return errors.Join(err, fmt.Errorf("stop %s: still running after %s", p.name, stopTimeout))
	}
}
