package texts_test

import (
	"go/doc"
	"go/parser"
	"go/token"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

// Every public package shows how it is used, by an Example that go test runs:
// one that has an Output.
func TestPublicPackagesHaveExamplesThatRun(t *testing.T) {
	t.Parallel()
	count := map[string]int{}
	for _, folder := range folders(t) {
		if below(folder, []string{"pkg"}) {
			count[folder] = 0
		}
	}
	for _, file := range files(t, "_test.go") {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, read(t, filepath.Join(repository, file)), parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, example := range doc.Examples(parsed) {
			if example.Output != "" {
				count[path.Dir(file)]++
			}
		}
	}
	all := 0
	for folder, n := range count {
		all += n
		if n == 0 && strings.HasPrefix(folder, "pkg/") {
			t.Errorf("%s has no Example with an Output", folder)
		}
	}
	if all < 15 {
		t.Errorf("there are %d Examples that run, want at least 15", all)
	}
	t.Logf("%d Examples run", all)
}
