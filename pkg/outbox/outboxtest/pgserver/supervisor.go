//go:build unix

package pgserver

import (
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"time"
)

//go:embed supervise.sh
var superviseScript string

// supervisor is the process that runs the server and outlives this one by the
// time it takes to stop it.
type supervisor struct {
	hold *os.File // its end is the end of the server
	done chan struct{}
	once sync.Once
}

// stopTimeout is far above what a shutdown takes: an immediate one kills what
// is left after five seconds.
const stopTimeout = 30 * time.Second

// supervise starts the server args.
func supervise(c *cluster, args []string) (*supervisor, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	// A cluster that is kept is shut down cleanly; one that is thrown away need not be.
	signal := "INT"
	if c.home != "" {
		signal = "QUIT"
	}
	lock := c.lock
	if lock == nil {
		lock = r
	}
	cmd := exec.Command("/bin/sh", append([]string{"-c", superviseScript, "sh"}, args...)...)
	cmd.Env = []string{"PATH=/usr/bin:/bin", "LOG=" + c.log, "SIGNAL=" + signal, "REMOVE=" + c.home}
	cmd.Dir = "/"
	cmd.ExtraFiles = []*os.File{r, lock}
	cmd.SysProcAttr = c.acc.attr()
	// Out of the terminal's process group: its interrupt reaches only us.
	cmd.SysProcAttr.Setpgid = true
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, r.Close(), w.Close())
	}
	if err := r.Close(); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	s := &supervisor{hold: w, done: make(chan struct{})}
	go func() {
		defer close(s.done)
		_ = cmd.Wait() // The exit code of a server that was told to end says nothing.
	}()
	return s, nil
}

// stop ends the server and waits for it.
func (s *supervisor) stop() error {
	var err error
	s.once.Do(func() { err = s.hold.Close() })
	t := time.NewTimer(stopTimeout)
	defer t.Stop()
	select {
	case <-s.done:
		return err
	case <-t.C:
		return errors.Join(err, fmt.Errorf("stop postgres: still running after %s", stopTimeout))
	}
}
