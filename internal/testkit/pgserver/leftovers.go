//go:build unix

package pgserver

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/process"
)

// lockNew makes the file path, which must not exist, and locks it. The lock lasts until this process and every one
// that inherited the file have closed it. The file gets its name once it is locked, so that no process takes the
// directory for a leftover in between.
func lockNew(path string) (*os.File, error) {
	f, err := os.OpenFile(path+".new", os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := process.Flock(f, syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if err := os.Rename(path+".new", path); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// removeLeftovers stops servers whose supervisor was killed, and removes their directories: those of this package, in
// memory and in acc's folder for temporary files, that no process has locked. bin is the folder with pg_ctl. It ignores failures.
func removeLeftovers(ctx context.Context, bin string, acc *process.Account) {
	for _, folder := range []string{memoryDir(), acc.TempDir()} {
		if folder == "" {
			continue
		}
		homes, err := filepath.Glob(filepath.Join(folder, homePrefix+"*"))
		if err != nil {
			return
		}
		for _, home := range homes {
			removeLeftover(ctx, home, bin, acc)
		}
	}
}

// removeLeftover stops the server in the directory home, if one runs, and removes home. It does nothing where a process
// has locked home, and leaves home where the server cannot be stopped.
func removeLeftover(ctx context.Context, home, bin string, acc *process.Account) {
	f, err := os.OpenFile(filepath.Join(home, lockFile), os.O_RDWR, 0)
	if err != nil {
		return
	}
	defer func() { _ = f.Close() }()
	if process.Flock(f, syscall.LOCK_EX|syscall.LOCK_NB) != nil {
		return
	}
	c := &cluster{bin: bin, acc: acc, home: home, data: filepath.Join(home, "data")}
	if _, err := os.Stat(filepath.Join(c.data, "postmaster.pid")); err == nil {
		if c.command(ctx, "pg_ctl", "stop", "-D", c.data, "-m", "immediate", "-t", "10").Run() != nil {
			return
		}
	}
	c.remove()
}
