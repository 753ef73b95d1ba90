package sinktest_test

import "testing"

// TestLineSink runs the suite on the sink of the example.
func TestLineSink(t *testing.T) {
	t.Parallel()
	testLineSink(t)
}
