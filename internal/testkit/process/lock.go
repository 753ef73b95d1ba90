//go:build unix

package process

import (
	"fmt"
	"os"
	"syscall"
)

// Lock makes the file at path unless it exists, waits for an exclusive lock on it, and returns the function that
// releases the lock. The kernel releases it at the end of the process at the latest.
func Lock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := Flock(f, syscall.LOCK_EX); err != nil {
		_ = f.Close() // Nothing was written to the file.
		return nil, err
	}
	return func() { _ = f.Close() }, nil
}

// Flock locks a file as how says (LOCK_EX, perhaps with LOCK_NB), and tries again when a signal interrupts it. Without
// LOCK_NB it waits for the lock; with LOCK_NB a file that is locked already is an error.
func Flock(f *os.File, how int) error {
	for {
		//nolint:gosec // A descriptor fits.
		err := syscall.Flock(int(f.Fd()), how)
		if err != syscall.EINTR {
			if err != nil {
				return fmt.Errorf("lock %s: %w", f.Name(), err)
			}
			return nil
		}
	}
}
