package hostmode

import "syscall"

// sysProcAttr makes the process lead a group, so that it can be ended with all
// its children, and lets it die with this program even when that is killed.
func sysProcAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
