package testingtb_test

import (
	"testing"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/testingtb"
)

func TestFailureReturnsWhatFailed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		f    func(t *testingtb.T)
		want string
	}{
		"nothing":           {func(*testingtb.T) {}, ""},
		"an error":          {func(t *testingtb.T) { t.Errorf("%d is odd", 3) }, "3 is odd"},
		"a fatal error":     {func(t *testingtb.T) { t.Fatal("no database"); t.Errorf("not reached") }, "no database"},
		"both":              {func(t *testingtb.T) { t.Errorf("one"); t.Fatalf("%s", "two") }, "one\ntwo"},
		"an error at clean": {func(t *testingtb.T) { t.Cleanup(func() { t.Errorf("drop: busy") }) }, "drop: busy"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := testingtb.Failure(c.f); got != c.want {
				t.Errorf("Failure = %q, want %q", got, c.want)
			}
		})
	}
}

func TestCleanupsRunInReverseOnAnEndedContext(t *testing.T) {
	t.Parallel()
	x, end := testingtb.New()
	var ran []int
	for i := range 2 {
		x.Cleanup(func() {
			ran = append(ran, i)
			if x.Context().Err() == nil {
				t.Error("the context goes on in a cleanup")
			}
		})
	}
	end()
	if len(ran) != 2 || ran[0] != 1 {
		t.Errorf("cleanups ran in the order %v, want [1 0]", ran)
	}
}

func TestFailureFailsTheExample(t *testing.T) {
	t.Parallel()
	x, end := testingtb.New()
	x.Errorf("one")
	defer func() {
		if r := recover(); r != "one" {
			t.Errorf("end panicked with %v, want the failure", r)
		}
	}()
	end()
}
