package main

import (
	"go/parser"
	"go/token"
	"strings"
	"testing"
)

// Running them takes minutes (make mutants). That each still applies to the
// code as it is costs nothing.
func TestEveryMutantApplies(t *testing.T) {
	t.Parallel()
	root, err := moduleRoot()
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, m := range mutants() {
		if m.name == "" || m.breaks == "" || len(m.verdicts) == 0 || names[m.name] {
			t.Errorf("mutant %q is incomplete, or there twice", m.name)
		}
		names[m.name] = true
		changed, err := m.apply(root, t.TempDir())
		if err != nil {
			t.Error(err)
			continue
		}
		for was, is := range changed {
			if !strings.HasSuffix(was, ".go") {
				continue
			}
			if _, err := parser.ParseFile(token.NewFileSet(), is, nil, 0); err != nil {
				t.Errorf("mutant %q is no Go: %v", m.name, err)
			}
		}
	}
	if len(names) < 20 {
		t.Errorf("%d mutants", len(names))
	}
}
