//go:build !linux

package lambdahost

// awaitStop returns at once: a process to which SIGSTOP was sent may run on for a moment.
func awaitStop(int) error { return nil }
