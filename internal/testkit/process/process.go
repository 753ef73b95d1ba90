//go:build unix

// Package process runs servers that belong to the process that started them:
// they end with it, however it ends.
package process

import (
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"
)

//go:embed supervise.sh
var superviseScript string

// Config says what to run.
type Config struct {
	// Args are the program and its arguments.
	Args []string
	// Account is who runs it, nil for the user that we are.
	Account *Account
	// Log is the file that its output is added to.
	Log string
	// Signal ends it, such as "TERM".
	Signal string
	// Remove is a directory that is removed after its end. Defaults to none.
	Remove string
	// Lock is a file that is kept open until then. Defaults to none.
	Lock *os.File
}

// Process is a shell that supervises a server and outlives this process by the
// time it takes to stop it. Its methods may be called concurrently.
type Process struct {
	name string
	hold *os.File // its end is the end of the server
	done chan struct{}
	once sync.Once
}

// stopTimeout is far above what a shutdown takes: an immediate one of
// PostgreSQL kills what is left after five seconds.
const stopTimeout = 30 * time.Second

// Start starts the server.
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
	// Out of the terminal's process group: its interrupt reaches only us.
	cmd.SysProcAttr.Setpgid = true
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, r.Close(), w.Close())
	}
	if err := r.Close(); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	p := &Process{name: filepath.Base(c.Args[0]), hold: w, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		_ = cmd.Wait() // The exit code of a server that was told to end says nothing.
	}()
	return p, nil
}

// Done is closed when the server has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Stop ends the server and waits for it. Calling it again changes nothing.
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
