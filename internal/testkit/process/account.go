//go:build unix

package process

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// noRights is the uid of the account that Linux has for processes without rights: it owns no files.
const noRights = "65534"

// Account is the user that a server runs as. Nil is the user of this process.
type Account struct {
	uid, gid int
}

// Unprivileged returns the account of the user postgres, or else of the user without rights, when this process runs
// as root. It returns nil and no error when this process does not run as root, and errs when there is neither user.
func Unprivileged() (*Account, error) {
	if os.Geteuid() != 0 {
		return nil, nil //nolint:nilnil // Nil is an account.
	}
	for _, find := range []func() (*user.User, error){
		func() (*user.User, error) { return user.Lookup("postgres") },
		func() (*user.User, error) { return user.LookupId(noRights) },
	} {
		u, err := find()
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(u.Uid, 10, 32)
		if err != nil || uid == 0 {
			continue
		}
		gid, err := strconv.ParseUint(u.Gid, 10, 32)
		if err != nil {
			continue
		}
		return &Account{uid: int(uid), gid: int(gid)}, nil
	}
	return nil, fmt.Errorf("the server does not run as root, and there is neither a user postgres nor one with the id %s", noRights)
}

// Attr returns the process attributes with which a command runs as the account: none for nil. The caller may add
// others.
func (a *Account) Attr() *syscall.SysProcAttr {
	if a == nil {
		return &syscall.SysProcAttr{}
	}
	//nolint:gosec // Both were parsed as 32 bit numbers.
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid)}}
}

// Chown makes the account the owner of the files and folders at paths, not of what is in a folder. For nil it does
// nothing.
func (a *Account) Chown(paths ...string) error {
	if a == nil {
		return nil
	}
	for _, p := range paths {
		if err := os.Chown(p, a.uid, a.gid); err != nil {
			return err
		}
	}
	return nil
}

// TempDir returns the folder for temporary directories: that of this process, or /tmp when
// the account cannot reach it.
func (a *Account) TempDir() string {
	dir := os.TempDir()
	if a != nil && !reachable(dir) {
		return "/tmp"
	}
	return dir
}

// reachable reports whether every user may pass through all folders of path, and false when path does not exist.
func reachable(path string) bool {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return false
	}
	for ; ; path = filepath.Dir(path) {
		st, err := os.Stat(path)
		if err != nil || st.Mode().Perm()&0o001 == 0 {
			return false
		}
		if path == filepath.Dir(path) {
			return true
		}
	}
}
