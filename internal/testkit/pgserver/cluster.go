//go:build unix

package pgserver

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/process"
)

const (
	homePrefix   = "outbox-postgres-"
	passwordFile = "superuser.password"
	lockFile     = "lock"
)

// newCluster makes the directories that cfg asks for, and runs initdb of the folder bin, as acc, unless there is a
// cluster already. After an error it has removed what it made, but not cfg.DataDir.
func newCluster(ctx context.Context, cfg Config, bin string, acc *process.Account) (*cluster, error) {
	c := &cluster{bin: bin, acc: acc}
	var err error
	if cfg.DataDir == "" {
		err = c.makeHome(homesOf(cfg, acc))
	} else {
		err = c.useDir(cfg.DataDir)
	}
	if err == nil {
		err = c.initdb(ctx)
	}
	if err != nil {
		c.remove()
		c.unlock()
		return nil, err
	}
	return c, nil
}

// homesOf returns the folder for the directory of a server of cfg: one in memory for a server without fsync, where
// there is one. Making a database creates a thousand files, which takes ext4 longer than PostgreSQL.
func homesOf(cfg Config, acc *process.Account) string {
	if dir := memoryDir(); dir != "" && !cfg.Fsync {
		return dir
	}
	return acc.TempDir()
}

// makeHome makes a temporary directory in the folder for the data, the log and the lock, and sets the fields home, data,
// log and lock of c. The directory is locked until the server's supervisor has ended: an unlocked one is a leftover.
func (c *cluster) makeHome(folder string) error {
	home, err := os.MkdirTemp(folder, homePrefix)
	if err != nil {
		return err
	}
	c.home, c.data, c.log = home, filepath.Join(home, "data"), filepath.Join(home, "log")
	if c.lock, err = lockNew(filepath.Join(home, lockFile)); err != nil {
		return err
	}
	if err := os.Mkdir(c.data, 0o700); err != nil {
		return err
	}
	return c.own(c.home, c.data, c.log)
}

// useDir sets c.data to dir, the caller's directory, which it makes when it is missing, and c.log to a file beside it:
// the directory's name with ".log".
func (c *cluster) useDir(dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	c.data, c.log = dir, dir+".log"
	return c.own(c.data, c.log)
}

// own makes the log file unless it exists, and gives the paths to the server's user.
func (c *cluster) own(paths ...string) error {
	f, err := os.OpenFile(c.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return c.acc.Chown(paths...)
}

// initdb makes the cluster with a new password, or reads the password of the cluster that
// is already there, and sets c.password. It errs for a cluster that was not made here.
func (c *cluster) initdb(ctx context.Context) error {
	kept := filepath.Join(c.data, passwordFile)
	if _, err := os.Stat(filepath.Join(c.data, "PG_VERSION")); err == nil {
		return c.readPassword(kept)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	c.password = rand.Text()
	// initdb wants an empty directory, so the password is first written beside it.
	aside := c.log + ".password"
	if err := os.WriteFile(aside, []byte(c.password), 0o600); err != nil {
		return err
	}
	if err := c.acc.Chown(aside); err != nil {
		return err
	}
	cmd := c.command(ctx, "initdb",
		"--pgdata", c.data, "--username", "postgres", "--pwfile", aside, "--auth", "password",
		"--encoding", "UTF8", "--no-locale", "--no-sync")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return errors.Join(fmt.Errorf("initdb: %w\n%s", err, out), os.Remove(aside))
	}
	return os.Rename(aside, kept)
}

// readPassword sets c.password to the content of the file at path. It errs when there is none.
func (c *cluster) readPassword(path string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("a cluster that was not made by this package: %w", err)
	}
	c.password = strings.TrimSpace(string(b))
	return nil
}

// remove deletes what makeHome made, and nothing of the caller's directory. It is for a
// cluster that no supervisor has taken over.
func (c *cluster) remove() {
	if c.home != "" {
		_ = os.RemoveAll(c.home) // The next start removes what could not be removed now.
	}
}

// unlock closes this process's copy of the lock. The supervisor's copy, if there is one, keeps the directory locked.
func (c *cluster) unlock() {
	if c.lock != nil {
		_ = c.lock.Close() // Nothing was written to the file.
	}
}

// signal returns the signal that shuts the server down: INT, for a clean end, when its
// cluster is kept, and QUIT, for one at once, when it is removed.
func (c *cluster) signal() string {
	if c.home == "" {
		return "INT"
	}
	return "QUIT"
}
