package python

import (
	"regexp"
	"strings"
	"testing"
)

func TestEveryPackageIsPinned(t *testing.T) {
	t.Parallel()
	pinned := regexp.MustCompile(`^[A-Za-z0-9._-]+==[A-Za-z0-9.]+$`)
	for _, tool := range []string{"sam", "checkov", "ministack"} {
		list, err := requirements.ReadFile(tool + ".txt")
		if err != nil {
			t.Fatal(err)
		}
		count := 0
		for line := range strings.Lines(string(list)) {
			if strings.HasPrefix(line, "#") {
				continue
			}
			count++
			if !pinned.MatchString(strings.TrimSpace(line)) {
				t.Errorf("%s: %q is not pinned", tool, line)
			}
		}
		if count == 0 {
			t.Errorf("%s has no packages", tool)
		}
	}
	if _, err := InstallTool(t.Context(), "nothing", nil); err == nil {
		t.Error("requirements of nothing are no error")
	}
}
