package mutants

import "testing"

// Running them takes minutes (make mutants). That each still finds its place in the
// code costs nothing.
func TestEveryMutantApplies(t *testing.T) {
	t.Parallel()
	root, err := moduleRoot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, m := range mutants() {
		if m.name == "" || m.breaks == "" || len(m.verdicts) == 0 || names[m.name] {
			t.Errorf("mutant %q is incomplete, or there twice", m.name)
		}
		names[m.name] = true
		if _, err := m.apply(root, t.TempDir()); err != nil {
			t.Error(err)
		}
	}
	if len(names) < 20 {
		t.Errorf("%d mutants", len(names))
	}
}
