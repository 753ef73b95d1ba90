//go:build !linux

package hostmode

import "syscall"

// sysProcAttr returns attributes by which a process leads a group, so that a signal reaches all its children.
func sysProcAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
