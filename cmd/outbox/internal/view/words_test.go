package view_test

import (
	"slices"
	"testing"
	"time"
	"unicode"

	"github.com/serverless-outbox/serverless-outbox/cmd/outbox/internal/view"
)

func TestDurationNamesTheTwoUnitsThatMatter(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		0:                        "0s",
		time.Microsecond:         "<1ms",
		350 * time.Millisecond:   "350ms",
		5240 * time.Millisecond:  "5.2s",
		9949 * time.Millisecond:  "9.9s",
		9950 * time.Millisecond:  "9s",
		59999 * time.Millisecond: "59s",
		time.Minute:              "1m",
		125 * time.Second:        "2m 5s",
		3*time.Hour + 4*time.Minute + time.Second: "3h 4m",
		24 * time.Hour:                "1d",
		51*time.Hour + 59*time.Minute: "2d 3h",
		-2 * time.Second:              "-2.0s",
	} {
		if got := view.Duration(d); got != want {
			t.Errorf("Duration(%d) = %q, want %q", d, got, want)
		}
	}
}

func TestCountSeparatesThousands(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -100000: "-100,000"} {
		if got := view.Count(n); got != want {
			t.Errorf("Count(%d) = %q, want %q", n, got, want)
		}
	}
}

func TestRangesJoinsRuns(t *testing.T) {
	t.Parallel()
	all := make([]int, 64)
	for i := range all {
		all[i] = i
	}
	for _, c := range []struct {
		numbers []int
		want    string
	}{
		{nil, ""},
		{[]int{7}, "7"},
		{all, "0-63"},
		{[]int{43, 0, 1, 2, 40, 42, 1}, "0-2,40,42-43"},
	} {
		before := slices.Clone(c.numbers)
		if got := view.Ranges(c.numbers); got != c.want {
			t.Errorf("Ranges(%v) = %q, want %q", c.numbers, got, c.want)
		}
		if !slices.Equal(before, c.numbers) {
			t.Errorf("Ranges changed its argument to %v", c.numbers)
		}
	}
}

func FuzzPrintableCannotSteerATerminal(f *testing.F) {
	for _, seed := range []string{"default", "a\nb", "\x1b[31m", "\u009b31m", "é", "\xff", "\u202e"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got := view.Printable(text)
		for _, r := range got {
			if !unicode.IsPrint(r) {
				t.Fatalf("Printable(%q) = %q has %U", text, got, r)
			}
		}
		printable := true
		for _, r := range text {
			printable = printable && unicode.IsPrint(r) && r != unicode.ReplacementChar
		}
		if printable && got != text {
			t.Fatalf("Printable(%q) = %q changed what prints", text, got)
		}
	})
}
