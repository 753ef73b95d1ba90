//go:build unix

package rig

import (
	"context"
	"encoding/json"
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
	// Tuned is the function with the settings of a [tuning.Tuning], and stopped where a
	// plan of package failpoint says so.
	Tuned = "test/failpoints/relay"
)

// Program is a compiled function.
type Program struct {
	// Root is the folder of go.mod, Binary the path of the program.
	Root, Binary string
}

// Build compiles the program in a folder of the module for this machine, with the flags of a
// deployment. Each folder has a binary of its own in the cache.
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

// moduleRoot returns the folder of go.mod.
func moduleRoot(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-json").Output()
	if err != nil {
		return "", fmt.Errorf("find the module: %w", err)
	}
	var module struct{ Dir string }
	if err := json.Unmarshal(out, &module); err != nil {
		return "", fmt.Errorf("find the module: %w", err)
	}
	return module.Dir, nil
}
