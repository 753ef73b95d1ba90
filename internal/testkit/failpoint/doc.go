// Package failpoint stops a relay at a named step of its work, without a line
// in the engine: it wraps the ports through which the engine reaches the
// database and the destinations, and tells a [Hook] of every step. The hook may
// end the process, freeze it, fail the call or keep its answer back.
//
//	store = failpoint.Store(store, hook)
//	sink = failpoint.Sink(sink, hook)
//
// A [Plan] is a hook that does one fault at one step, the nth time. In a program
// it is read from one variable, and what it did is told in a folder, so that
// whoever started the process knows. Programs that are deployed do not contain
// this package.
package failpoint
