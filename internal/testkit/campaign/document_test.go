package campaign

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAPartOfADocumentIsReplaced(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "doc.md")
	if err := os.WriteFile(path, []byte("a\n<!-- table -->\nold\n<!-- end of table -->\nb\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"new\n", "newer\n"} {
		if err := WritePart(path, "table", text); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if want := "a\n<!-- table -->\n" + text + "<!-- end of table -->\nb\n"; err != nil || string(got) != want {
			t.Errorf("%q, %v", got, err)
		}
	}
	if err := os.WriteFile(path, []byte("nothing\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := WritePart(path, "table", "new\n"); err == nil || !strings.Contains(err.Error(), "<!-- table -->") {
		t.Errorf("%v, want the missing line", err)
	}
}
