package hostmode

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// needLocalStack skips where the tests run without LocalStack.
func needLocalStack(t *testing.T) {
	t.Helper()
	if os.Getenv("OUTBOX_TEST_LOCALSTACK_URL") == "" {
		t.Skip("starts LocalStack; run with: go run ./localstack/localstack -- go test ./internal/testkit/hostmode")
	}
}

// alive reports whether the process group has members.
func alive(pgid int) bool {
	return !errors.Is(syscall.Kill(-pgid, 0), syscall.ESRCH)
}

func TestAMachineWithoutPythonIsUnavailableAndToldWhatToInstall(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	t.Setenv("HOME", t.TempDir())
	t.Setenv("PYENV_ROOT", t.TempDir())
	_, err := Start(t.Context(), Config{Dir: t.TempDir()})
	if !errors.Is(err, ErrUnavailable) {
		t.Fatalf("Start = %v, want ErrUnavailable", err)
	}
	if !strings.Contains(err.Error(), "python3.13") {
		t.Errorf("the error does not say what to install: %v", err)
	}
}

func TestClientSettingsDoNotReachLocalStack(t *testing.T) {
	t.Setenv("AWS_ENDPOINT_URL", "http://192.0.2.1")
	t.Setenv("PYTHONPATH", "/elsewhere")
	env := environ(4566, t.TempDir())
	for _, kv := range env {
		if strings.HasPrefix(kv, "AWS_") || strings.HasPrefix(kv, "PYTHON") {
			t.Errorf("LocalStack would see %s", kv)
		}
	}
}

func TestAServerThatDoesNotAnswerIsStoppedWithItsOutputInTheError(t *testing.T) {
	t.Parallel()
	python := filepath.Join(t.TempDir(), "python")
	if err := os.WriteFile(python, []byte("#!/bin/sh\necho no such module\nexit 3\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := start(t.Context(), Config{}.withDefaults(), python)
	if !errors.Is(err, errExited) {
		t.Fatalf("start = %v, want errExited", err)
	}
	if !strings.Contains(err.Error(), "no such module") {
		t.Errorf("the error does not show the output: %v", err)
	}
}

func TestRingKeepsTheEnd(t *testing.T) {
	t.Parallel()
	r := &ring{}
	line := strings.Repeat("x", 1<<10)
	for range 100 {
		if _, err := r.Write([]byte(line)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.Write([]byte("the end")); err != nil {
		t.Fatal(err)
	}
	got := r.String()
	if len(got) != 64<<10 || !strings.HasSuffix(got, "the end") {
		t.Errorf("kept %d bytes ending in %q", len(got), got[max(0, len(got)-7):])
	}
}

func TestStopLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	needLocalStack(t)
	s, err := Start(t.Context(), Config{Output: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-s.Done():
	default:
		t.Error("Done is open after Stop")
	}
	if alive(s.pid) {
		t.Errorf("processes of group %d are left", s.pid)
	}
	if _, err := os.Stat(s.state); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("state folder %s: %v, want it gone", s.state, err)
	}
	if err := s.Stop(); err != nil {
		t.Errorf("a second Stop = %v", err)
	}
}
