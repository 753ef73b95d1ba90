//go:build unix

package rig

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// The packages of a relay function, for [Build].
const (
	// Deployed is the function as it is deployed.
	Deployed = "functions/relay"
	// Tuned is the function that also takes the settings of a [tuning.Tuning] and the plan of a [failpoint.Plan], which
	// does a fault at one of its steps, and that serves profiles where OUTBOX_TEST_PROFILES names an address.
	Tuned = "test/failpoints/relay"
)

// Program is a compiled function.
type Program struct {
	// Root is the folder of go.mod, Binary the path of the program.
	Root, Binary string
}

// Build compiles the program in folder, which is relative to the module's root, for this
// machine and with the flags of a deployment. The binary of each folder is in .cache/rig of
// the module, where Build replaces an older one. It must be called inside the module.
func Build(ctx context.Context, folder string) (Program, error) {
	root, err := moduleRoot(ctx)
	if err != nil {
		return Program{}, err
	}
	p := Program{Root: root, Binary: filepath.Join(root, ".cache", "rig", strings.ReplaceAll(folder, "/", "-"), "bootstrap")}
	if err = os.MkdirAll(filepath.Dir(p.Binary), 0o750); err != nil {
		return Program{}, err
	}
	// Built aside and moved into its place: another run may be starting it.
	aside, err := os.MkdirTemp(filepath.Dir(p.Binary), "build-")
	if err != nil {
		return Program{}, err
	}
	defer os.RemoveAll(aside) //nolint:errcheck // What is left is in the cache.
	built := filepath.Join(aside, "bootstrap")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-tags", "lambda.norpc", "-ldflags", "-s -w", "-o", built, "./"+folder)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return Program{}, fmt.Errorf("build %s: %w\n%s", folder, err, out)
	}
	return p, os.Rename(built, p.Binary)
}

// moduleRoot returns the folder with the go.mod of the module that this process works in.
func moduleRoot(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return "", fmt.Errorf("find the module: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}
