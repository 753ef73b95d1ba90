package hostmode

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/serverless-outbox/serverless-outbox/localstack"
)

// install makes sure that dir holds a virtual environment with the locked
// packages and returns the path of its Python. Of several processes one
// installs and the others wait for it.
func install(ctx context.Context, dir string, progress io.Writer) (string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("install: %w", err)
	}
	unlock, err := lock(filepath.Join(dir, "lock"))
	if err != nil {
		return "", fmt.Errorf("install: %w", err)
	}
	defer unlock()

	venv := filepath.Join(dir, "venv")
	python := filepath.Join(venv, "bin", "python")
	sum := sha256.Sum256(localstack.Lock)
	want := hex.EncodeToString(sum[:])
	marker := filepath.Join(dir, "installed")
	if got, readErr := os.ReadFile(marker); readErr == nil && string(got) == want && runs(ctx, python) {
		return python, nil
	}

	base, err := findPython(ctx)
	if err != nil {
		return "", err
	}
	say(progress, "installing LocalStack %s with %s into %s (about 20 s, once)", localstack.Version, base, venv)
	if err := os.RemoveAll(venv); err != nil {
		return "", fmt.Errorf("install: %w", err)
	}
	if out, err := run(ctx, base, "-m", "venv", venv); err != nil {
		return "", fmt.Errorf("%w: create the virtual environment: %w\n%s", ErrUnavailable, err, out)
	}
	requirements := filepath.Join(dir, "requirements.txt")
	if err := os.WriteFile(requirements, localstack.Lock, 0o600); err != nil {
		return "", fmt.Errorf("install: %w", err)
	}
	if out, err := run(ctx, python, "-m", "pip", "install", "--quiet", "--no-input",
		"--disable-pip-version-check", "--retries", "2", "--requirement", requirements); err != nil {
		return "", fmt.Errorf("%w: pip install (is the package index reachable?): %w\n%s", ErrUnavailable, err, out)
	}
	if err := os.WriteFile(marker, []byte(want), 0o600); err != nil {
		return "", fmt.Errorf("install: %w", err)
	}
	return python, nil
}

// lock takes an exclusive lock on the file. The kernel drops it with the process.
func lock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
		if err != syscall.EINTR { //nolint:errorlint // Flock returns the bare errno
			break
		}
	}
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return func() { _ = f.Close() }, nil
}

func runs(ctx context.Context, python string) bool {
	return exec.CommandContext(ctx, python, "-c", "import localstack").Run() == nil
}

// run returns the end of the command's output.
func run(ctx context.Context, name string, args ...string) (string, error) {
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if ctxErr := ctx.Err(); ctxErr != nil {
		err = ctxErr
	}
	return tail(out.String()), err
}

// tail returns the last lines of s.
func tail(s string) string {
	const most = 15
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(lines[max(0, len(lines)-most):], "\n")
}

func say(w io.Writer, format string, args ...any) {
	// Progress is for a person to watch; a broken terminal stops nothing.
	_, _ = fmt.Fprintf(w, "localstack: "+format+"\n", args...)
}
