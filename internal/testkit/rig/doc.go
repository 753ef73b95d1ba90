//go:build unix

// Package rig runs the compiled relay function on this machine, with a real
// PostgreSQL, the AWS fake, a proxy in front of each, and writers. It records the
// history of a run, and derives from the faults which single events may have been
// sent again because of them.
package rig
