package main

import (
	"os/exec"
	"strings"
	"testing"
)

// What is deployed links no test support and no local tools: nothing there can
// be told to fail. The program that can is built with a tag.
func TestTheDeployedProgramHasNoFailpoints(t *testing.T) {
	t.Parallel()
	for tags, want := range map[string]bool{"lambda.norpc": false, "lambda.norpc,failpoint": true} {
		out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "-tags", tags, ".").CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		var found []string
		for pkg := range strings.FieldsSeq(string(out)) {
			if strings.Contains(pkg, "/outboxtest") || strings.Contains(pkg, "/serverless-outbox/localstack") {
				found = append(found, pkg)
			}
		}
		if (len(found) > 0) != want {
			t.Errorf("with the tags %s: %v", tags, found)
		}
	}
}
