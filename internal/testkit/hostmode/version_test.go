package hostmode

import (
	"regexp"
	"strings"
	"testing"
)

func TestTheLockPinsEveryPackage(t *testing.T) {
	t.Parallel()
	pinned := regexp.MustCompile(`^[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.]*$`)
	for line := range strings.Lines(string(Lock)) {
		if line = strings.TrimSpace(line); line != "" && !pinned.MatchString(line) {
			t.Errorf("%q is not pinned", line)
		}
	}
}
