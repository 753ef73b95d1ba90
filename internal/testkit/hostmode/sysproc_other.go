//go:build !linux

package hostmode

import "syscall"

// sysProcAttr makes the process lead a group, so that it can be ended with all
// its children.
func sysProcAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
