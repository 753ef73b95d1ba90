//go:build unix

// Package rig runs the compiled relay function on this machine, with a real
// PostgreSQL, the AWS fake, a proxy on the way to each, and writers; it records
// what happens, and derives from the faults which single events may have been
// sent again because of them.
package rig
