package pgdb

import (
	"math"
	"strings"
)

// Limit returns n as the argument of a LIMIT: 0 for a negative n, and the highest PostgreSQL integer for one above it.
func Limit(n int) int32 {
	return int32(min(max(n, 0), math.MaxInt32)) //nolint:gosec // bounded here
}

// Text returns s with U+FFFD in the place of what PostgreSQL cannot store in a text: NUL, and bytes that are not UTF-8.
// A text of a broker or of a caller passes through it, so that one such text does not undo a whole transaction.
func Text(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}
