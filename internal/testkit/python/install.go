// Package python installs Python tools, each into a virtual environment of its own in the user's cache folder:
// outside the repository, so that `sam build` and `git clean` leave them alone. Each tool's packages are pinned by a
// pip requirements file; those of the project's own tools are beside this file.
package python

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/process"
)

// ErrUnavailable means that a tool cannot be installed on this machine: there is no suitable Python, or its packages
// cannot be fetched. The error that wraps it says what to install.
var ErrUnavailable = errors.New("cannot be installed here")

// Config describes one tool. Name and Requirements must be set.
type Config struct {
	// Name is the tool's name in messages and in the default of Dir. Required.
	Name string
	// Requirements is the text of a pip requirements file. When it changes, the next
	// Install installs the tool again. Required.
	Requirements []byte
	// Dir is the folder of the virtual environment. Processes may share it. Defaults to DefaultDir(Name).
	Dir string
	// Progress receives a line before an installation. Defaults to [io.Discard].
	Progress io.Writer
}

// DefaultDir returns the folder below the user's cache folder in which the tool of that name is installed; below the
// folder for temporary files when the user has no cache folder. It makes no folder.
func DefaultDir(name string) string {
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = filepath.Join(os.TempDir(), "cache-"+strconv.Itoa(os.Getuid()))
	}
	return filepath.Join(cache, "serverless-outbox", name)
}

// Install installs the tool unless it is installed already, and returns the folder of its programs, python among
// them. When several processes call it at the same time, one installs and the others wait, also past the end of ctx.
// The error wraps [ErrUnavailable] when there is no suitable Python, or pip fails.
func Install(ctx context.Context, c Config) (bin string, err error) {
	if c.Dir == "" {
		c.Dir = DefaultDir(c.Name)
	}
	if c.Progress == nil {
		c.Progress = io.Discard
	}
	if err = os.MkdirAll(c.Dir, 0o755); err != nil {
		return "", fmt.Errorf("install %s: %w", c.Name, err)
	}
	unlock, err := process.Lock(filepath.Join(c.Dir, "lock"))
	if err != nil {
		return "", fmt.Errorf("install %s: %w", c.Name, err)
	}
	defer unlock()

	venv := filepath.Join(c.Dir, "venv")
	bin = filepath.Join(venv, "bin")
	python := filepath.Join(bin, "python")
	sum := sha256.Sum256(c.Requirements)
	want := hex.EncodeToString(sum[:])
	marker := filepath.Join(c.Dir, "installed")
	if got, readErr := os.ReadFile(marker); readErr == nil && string(got) == want && runs(ctx, python) {
		return bin, nil
	}

	base, err := findInterpreter(ctx, Version)
	if err != nil {
		return "", fmt.Errorf("%s %w", c.Name, err)
	}
	// Progress is for a person to watch; a broken terminal stops nothing.
	_, _ = fmt.Fprintf(c.Progress, "installing %s with %s into %s (once, less than a minute)\n", c.Name, base, venv)
	// The marker first: a half-made environment must not be taken for a whole one.
	if err := errors.Join(os.RemoveAll(marker), os.RemoveAll(venv)); err != nil {
		return "", fmt.Errorf("install %s: %w", c.Name, err)
	}
	if out, err := run(ctx, base, "-m", "venv", venv); err != nil {
		return "", fmt.Errorf("%s %w: create the virtual environment: %w\n%s", c.Name, ErrUnavailable, err, out)
	}
	requirements := filepath.Join(c.Dir, "requirements.txt")
	if err := os.WriteFile(requirements, c.Requirements, 0o600); err != nil {
		return "", fmt.Errorf("install %s: %w", c.Name, err)
	}
	if out, err := run(ctx, python, "-m", "pip", "install", "--quiet", "--no-input",
		"--disable-pip-version-check", "--retries", "2", "--requirement", requirements); err != nil {
		return "", fmt.Errorf("%s %w: pip install (is the package index reachable?): %w\n%s", c.Name, ErrUnavailable, err, out)
	}
	if err := os.WriteFile(marker, []byte(want), 0o600); err != nil {
		return "", fmt.Errorf("install %s: %w", c.Name, err)
	}
	return bin, nil
}

// runs reports whether the program python starts and has pip. The python of a virtual environment
// does not start when the interpreter that the environment was made with has been removed.
func runs(ctx context.Context, python string) bool {
	return exec.CommandContext(ctx, python, "-c", "import pip").Run() == nil
}

// run runs a command to its end and returns the last 15 lines of its output, also after an error. When ctx ends it
// kills the command and returns the error of ctx.
func run(ctx context.Context, name string, args ...string) (string, error) {
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if ctxErr := ctx.Err(); ctxErr != nil {
		err = ctxErr
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	const most = 15
	return strings.Join(lines[max(0, len(lines)-most):], "\n"), err
}
