package python

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// candidate is a command, argv, that may start the wanted Python, with additional variables
// of its environment ("NAME=value"), env, which may be nil.
type candidate struct {
	argv []string
	env  []string
}

// probe is a Python program that prints the path of its interpreter, and fails when
// that is not of the version in its argument. It imports what creating a virtual
// environment needs, since Debian has those modules in packages of their own.
const probe = `import sys, venv, ensurepip
assert "%d.%d" % sys.version_info[:2] == sys.argv[1]
print(sys.executable)`

// findInterpreter returns the path of a Python of the version, such as "3.13", with what a virtual environment needs,
// or an error that wraps ErrUnavailable when there is none. It runs each candidate with the probe, because a
// python3.13 on PATH may be a version manager's shim that fails only when it is run.
func findInterpreter(ctx context.Context, version string) (string, error) {
	for _, c := range candidates(ctx, version) {
		args := slices.Concat(c.argv[1:], []string{"-c", probe, version})
		cmd := exec.CommandContext(ctx, c.argv[0], args...)
		cmd.Env = append(os.Environ(), c.env...)
		out, err := cmd.Output()
		if err != nil {
			continue
		}
		if path := strings.TrimSpace(string(out)); path != "" {
			return path, nil
		}
	}
	if err := ctx.Err(); err != nil {
		return "", fmt.Errorf("find python: %w", err)
	}
	return "", fmt.Errorf("%w: Python %[2]s with venv is needed, and none was found on PATH, in pyenv or in uv; "+
		"install one with `uv python install %[2]s`, `pyenv install %[2]s` or `apt-get install python%[2]s-venv`",
		ErrUnavailable, version)
}

// candidates returns the commands to probe for a Python of the version, in order of preference: from PATH, pyenv and
// uv. They need not exist.
func candidates(ctx context.Context, version string) []candidate {
	name := "python" + version
	found := []candidate{{argv: []string{name}}}
	for _, root := range pyenvRoots() {
		paths, err := filepath.Glob(filepath.Join(root, "versions", version+"*", "bin", "python"))
		if err != nil {
			continue
		}
		for _, path := range paths {
			found = append(found, candidate{argv: []string{path}})
		}
	}
	found = append(found, candidate{argv: []string{name}, env: []string{"PYENV_VERSION=" + version + ".0"}})
	if out, err := exec.CommandContext(ctx, "uv", "python", "find", version).Output(); err == nil {
		found = append(found, candidate{argv: []string{strings.TrimSpace(string(out))}})
	}
	return append(found,
		candidate{argv: []string{"python3"}},
		candidate{argv: []string{"python"}},
		candidate{argv: []string{"py", "-" + version}},
	)
}

// pyenvRoots returns the folders that pyenv may use, $PYENV_ROOT and ~/.pyenv. They need not exist.
func pyenvRoots() []string {
	var roots []string
	if root := os.Getenv("PYENV_ROOT"); root != "" {
		roots = append(roots, root)
	}
	if home, err := os.UserHomeDir(); err == nil {
		roots = append(roots, filepath.Join(home, ".pyenv"))
	}
	return roots
}
