package hostmode

import "syscall"

// sysProcAttr returns attributes by which a process leads a group, so that a signal reaches all its children, and is
// killed when the thread of this program that started it ends, as all threads do at the program's end.
func sysProcAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
