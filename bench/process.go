//go:build unix

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/serverless-outbox/serverless-outbox/bench/limit"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/lambdahost"
)

// child is a process that the benchmark started. input is a pipe to its standard input, nil when the process
// was given its input; lines reads its standard output.
type child struct {
	cmd   *exec.Cmd
	input io.WriteCloser
	lines *bufio.Reader
}

// spawn starts this executable again, with the role in args[0]. Its standard input is in as JSON, or the open
// pipe child.input when in is nil; its standard error goes to log. The process is killed when ctx ends.
func spawn(ctx context.Context, log io.Writer, in any, args ...string) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return program{path: self}.spawn(ctx, log, in, args...)
}

// program is an executable that the benchmark starts. env has variables, as NAME=VALUE, that the program gets
// beside those of the benchmark.
type program struct {
	path string
	env  []string
}

// spawn starts the program with args. Its standard input is in as JSON, or the open pipe child.input when in is
// nil; its standard error goes to log. The process is killed when ctx ends.
func (p program) spawn(ctx context.Context, log io.Writer, in any, args ...string) (*child, error) {
	c := &child{cmd: exec.CommandContext(ctx, p.path, args...)} //nolint:gosec // a program of the benchmark
	c.cmd.Stderr = log
	c.cmd.Env = append(os.Environ(), p.env...)
	var err error
	if in != nil {
		var b []byte
		if b, err = json.Marshal(in); err != nil {
			return nil, err
		}
		c.cmd.Stdin = bytes.NewReader(b)
	} else if c.input, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c.lines = bufio.NewReader(out)
	return c, c.cmd.Start()
}

// wait closes the pipe to the input of the process, if there is one, and waits for the end of the process. It
// fails when the process failed.
func (c *child) wait() error {
	if c.input != nil {
		_ = c.input.Close()
	}
	if err := c.cmd.Wait(); err != nil {
		return fmt.Errorf("%s: %w", c.cmd.Args[1], err)
	}
	return nil
}

// ticks is the number of clock ticks in a second in /proc: 100 on every Linux that Go runs on.
const ticks = 100

// processor returns the processor time that a process has used; with reaped set, that of its children which
// have ended is added. It is 0 for a process that has ended.
func processor(pid int, reaped bool) time.Duration {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	// The name of the program, in parentheses, may hold anything.
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	const user, system, childUser, childSystem = 11, 12, 13, 14
	of := []int{user, system}
	if reaped {
		of = append(of, childUser, childSystem)
	}
	var sum int64
	for _, i := range of {
		n, _ := strconv.ParseInt(fields[i], 10, 64)
		sum += n
	}
	return time.Duration(sum) * time.Second / ticks
}

// memory returns the resident size of a process in bytes, 0 for a process that has ended.
func memory(pid int) int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(b))
	if len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseInt(fields[1], 10, 64)
	return pages * int64(os.Getpagesize())
}

// processesIn returns the ids of the processes whose working directory is the folder.
func processesIn(folder string) []int {
	entries, _ := filepath.Glob("/proc/[0-9]*/cwd")
	var found []int
	for _, e := range entries {
		if to, err := os.Readlink(e); err == nil && to == folder {
			pid, _ := strconv.Atoi(strings.Split(e, "/")[2])
			found = append(found, pid)
		}
	}
	return found
}

// machineBusy returns the time that all processors together were busy since the machine started, 0 where there
// is no /proc/stat.
func machineBusy() time.Duration {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0
	}
	line, _, _ := strings.Cut(string(b), "\n")
	var busy int64
	for i, f := range strings.Fields(line) {
		const idle, ioWait, guest = 4, 5, 9
		if i == 0 || i == idle || i == ioWait || i >= guest {
			continue
		}
		n, _ := strconv.ParseInt(f, 10, 64)
		busy += n
	}
	return time.Duration(busy) * time.Second / ticks
}

var errTimeout = errors.New("did not come to an end in time")

// poll calls done at once, and then at the interval every, until it returns true or an error, which poll
// returns. It fails with errTimeout when the time most is over.
func poll(ctx context.Context, every, most time.Duration, done func() (bool, error)) error {
	ctx, cancel := context.WithTimeoutCause(ctx, most, errTimeout)
	defer cancel()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (t *trial) startLimit(ctx context.Context) error {
	c, err := spawn(ctx, t.log, limit.Config{URL: t.system, Queue: t.queue(), Lanes: 128}, roleLimit)
	if err != nil {
		return err
	}
	t.systemPID = c.cmd.Process.Pid
	t.stop = func() error { return errors.Join(c.cmd.Process.Signal(os.Interrupt), c.wait()) }
	return nil
}

// memoryMB is the memory size, in MB, that the relay function runs with: the one at which a Lambda function has
// one whole processor (AWS Lambda Developer Guide, configuring memory).
const memoryMB = 1769

func (t *trial) startRelay(ctx context.Context) error {
	env := map[string]string{
		"AWS_ACCESS_KEY_ID":     "test",
		"AWS_SECRET_ACCESS_KEY": "test",
		"AWS_ENDPOINT_URL":      "http://" + t.address,
		"OUTBOX_DATABASE_URL":   t.system,
		"OUTBOX_DESTINATIONS":   fmt.Sprintf(`{"default":%q}`, t.target()),
	}
	if t.pprof != "" {
		env["OUTBOX_TEST_PROFILES"] = t.pprof
	}
	maps.Copy(env, t.Env)
	fn, err := lambdahost.New(lambdahost.Config{
		Name: "relay", Binary: t.program, Env: env, Timeout: 15 * time.Minute, Memory: memoryMB, MaxConcurrency: 1,
		Output: func(l lambdahost.Line) { _, _ = fmt.Fprintln(t.log, l.Text) },
	})
	if err != nil {
		return err
	}
	outer := ctx
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() {
		_, err := fn.Invoke(ctx, []byte("{}"))
		ended <- err
	}()
	// When it is called, everything is sent and marked, so nothing has to be handed over.
	t.stop = func() error {
		var faults []error
		for _, r := range fn.Running() {
			faults = append(faults, fn.Kill(r.RequestID))
		}
		cancel()
		return errors.Join(append(faults, fn.Close(outer))...)
	}
	return poll(ctx, 5*time.Millisecond, 20*time.Second, func() (bool, error) {
		select {
		case err := <-ended:
			return false, fmt.Errorf("the relay ended: %w", err)
		default:
		}
		for _, r := range fn.Running() {
			t.systemPID = r.PID
		}
		return t.systemPID != 0, nil
	})
}
