package lambdahost

import (
	"errors"
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// awaitStop returns when the child process pid, to which SIGSTOP was sent, has stopped or ended. Until then its threads may
// still run, for long on a busy machine.
func awaitStop(pid int) error {
	for {
		// The state is left as it is, so that os.Process.Wait sees the end of the process.
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WSTOPPED|unix.WNOWAIT, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil && !errors.Is(err, syscall.ECHILD):
			return fmt.Errorf("wait until process %d stops: %w", pid, err)
		default:
			return nil
		}
	}
}
