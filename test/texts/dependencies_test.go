package texts_test

import (
	"regexp"
	"slices"
	"testing"
)

var requirePattern = regexp.MustCompile(`(?m)^(?:require )?\s*([a-z][^\s]*\.[^\s]+/[^\s]+) v[^\s]+$`)

// docs/design.md says what each dependency is for.
func TestEachDependencyHasItsReason(t *testing.T) {
	t.Parallel()
	var direct []string // a line of go.mod without the comment // indirect
	for _, m := range requirePattern.FindAllStringSubmatch(read(t, repository+"/go.mod"), -1) {
		direct = append(direct, m[1])
	}
	if len(direct) < 10 {
		t.Fatalf("go.mod requires %d modules", len(direct))
	}
	listed := layout(t, "docs/design.md", "Dependencies")
	for _, m := range direct {
		if !slices.Contains(listed, m) {
			t.Errorf("docs/design.md does not say what %s is for", m)
		}
	}
	for _, m := range listed {
		if !slices.Contains(direct, m) {
			t.Errorf("docs/design.md has a line for %s, which go.mod does not require", m)
		}
	}
}
