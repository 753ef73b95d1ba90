//go:build unix

package functions_test

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/rig"
)

// What is deployed links no test support and no local tools: nothing there can
// be told to fail. The program that can be is another one, which shows that the test
// would find them.
func TestTheDeployedProgramHasNoFailpoints(t *testing.T) {
	t.Parallel()
	for folder, want := range map[string]bool{
		"functions/relay": false, "functions/janitor": false, "functions/dlq-redrive": false, rig.Tuned: true,
	} {
		out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "-tags", "lambda.norpc", "../../"+folder).CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		var found []string
		for pkg := range strings.FieldsSeq(string(out)) {
			path, ours := strings.CutPrefix(pkg, "github.com/serverless-outbox/serverless-outbox/")
			if !ours {
				continue
			}
			for _, room := range []string{"internal/testkit", "pkg/outbox/outboxtest", "localstack", "test/", "bench/"} {
				if strings.HasPrefix(path, room) && path != folder {
					found = append(found, path)
				}
			}
		}
		if (len(found) > 0) != want {
			t.Errorf("%s links %v", folder, found)
		}
	}
}
