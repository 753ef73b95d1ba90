// Package failpoint stops a relay at a named step of its work, without a line
// in the engine: it wraps the ports through which the engine reaches the
// database and the destinations, and calls a [Hook] at every step. The hook may end
// the process, freeze it, fail the call or keep its answer back.
//
//	store = failpoint.Store(store, hook)
//	sink = failpoint.Sink(sink, hook)
//
// A [Plan] is a hook that does one fault at one step, the nth time. A program reads it
// from one variable; it records in a folder what it did, for the parent process to
// read. Programs that are deployed do not contain this package.
package failpoint
