//go:build unix

package process

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"
)

// killAfter is how long a command has to end after SIGTERM. Then it is killed.
const killAfter = 10 * time.Second

// Run runs a command, on this process's standard input and outputs and with further variables ("NAME=value") in its
// environment, waits for its end and returns its exit code: the sum of 128 and the signal's number when a signal
// ended it, as a shell does, and 127 when it could not be started. When ctx ends it sends SIGTERM, and SIGKILL after
// killAfter; a command that exits with 0 after that is 127 too.
func Run(ctx context.Context, command []string, variables ...string) int {
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Env = append(os.Environ(), variables...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = killAfter
	err := cmd.Run()
	if err == nil {
		return 0
	}
	exit, ended := errors.AsType[*exec.ExitError](err)
	if !ended {
		fmt.Fprintln(os.Stderr, err)
		return 127
	}
	if st, ok := exit.Sys().(syscall.WaitStatus); ok && st.Signaled() {
		return 128 + int(st.Signal())
	}
	return max(exit.ExitCode(), 1)
}

// InCI reports whether the variable CI is true: then a server that is missing is a failure and not something to skip.
func InCI() bool {
	ci, err := strconv.ParseBool(os.Getenv("CI"))
	return err == nil && ci
}

// startAttempts bounds the attempts of OnFreePort.
const startAttempts = 5

// OnFreePort calls start with a free port of 127.0.0.1 and returns what start returns. It calls start with another port,
// five times in all, while the error of start wraps ErrPortTaken.
func OnFreePort[T any](ctx context.Context, start func(port int) (T, error)) (T, error) {
	for attempt := 1; ; attempt++ {
		var started T
		port, err := FreePort(ctx)
		if err == nil {
			started, err = start(port)
		}
		if !errors.Is(err, ErrPortTaken) || attempt == startAttempts {
			return started, err
		}
	}
}

// FreePort returns a port of 127.0.0.1 that was free. Another process may take it before the caller does.
func FreePort(ctx context.Context) (int, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	addr, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		return 0, errors.Join(fmt.Errorf("find a free port: listening on %s", l.Addr()), l.Close())
	}
	return addr.Port, l.Close()
}
