// Package testingtb has a testing.TB for code that runs outside of a test: Examples,
// which have none of their own, and tests of helpers that fail a test.
package testingtb

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
)

// T is a [testing.TB] without a test. It has the methods that helpers of this
// repository call; any other method panics. It is for one goroutine.
type T struct {
	testing.TB // nil: only testing itself can implement its private method

	// ctx is what Context returns; cancel ends it.
	ctx      context.Context //nolint:containedctx // a testing.TB has one
	cancel   context.CancelFunc
	cleanups []func() // not run yet, in the order given
	failures []string // the texts of Errorf so far; Failure adds that of a fatal failure
}

// failed is what a fatal failure panics with.
type failed struct{ text string }

// New returns a T for an Example, and end, which the Example defers: it ends the context, runs what Cleanup was
// given, and panics when Errorf was called, so that the Example fails. Fatal and Fatalf panic at once.
func New() (t *T, end func()) {
	t = &T{}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	return t, func() {
		t.end()
		if len(t.failures) > 0 {
			panic(strings.Join(t.failures, "\n"))
		}
	}
}

// Failure runs f to its end or its first fatal failure and returns the texts of all failures, a line each: empty when
// f passed. It runs what f gave to Cleanup, too. A panic of f that is no failure goes on.
func Failure(f func(t *T)) string {
	t, _ := New()
	func() {
		defer func() {
			switch r := recover().(type) {
			case nil:
			case failed:
				t.failures = append(t.failures, r.text)
			default:
				panic(r)
			}
		}()
		f(t)
	}()
	t.end()
	return strings.Join(t.failures, "\n")
}

// end ends the context and runs what Cleanup was given, the last first.
func (t *T) end() {
	t.cancel()
	for len(t.cleanups) > 0 {
		last := len(t.cleanups) - 1
		cleanup := t.cleanups[last]
		t.cleanups = t.cleanups[:last]
		cleanup()
	}
}

// Helper implements testing.TB and does nothing.
func (t *T) Helper() {}

// Name implements testing.TB: it is always "example".
func (t *T) Name() string { return "example" }

// Context implements testing.TB: the context ends before the cleanups run.
func (t *T) Context() context.Context { return t.ctx }

// Output implements testing.TB: what is written is lost, because an Example prints only its own output.
func (t *T) Output() io.Writer { return io.Discard }

// Cleanup implements testing.TB: the last function given runs first.
func (t *T) Cleanup(f func()) { t.cleanups = append(t.cleanups, f) }

// Errorf implements testing.TB: it keeps the text, and the caller goes on.
func (t *T) Errorf(format string, args ...any) {
	t.failures = append(t.failures, fmt.Sprintf(format, args...))
}

// Fatal implements testing.TB: it panics, and Failure returns its text.
func (t *T) Fatal(args ...any) { panic(failed{fmt.Sprint(args...)}) }

// Fatalf implements testing.TB: it panics, and Failure returns its text.
func (t *T) Fatalf(format string, args ...any) { panic(failed{fmt.Sprintf(format, args...)}) }
