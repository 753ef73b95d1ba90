//go:build unix

package process_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/process"
)

func TestExecuteReturnsTheCodeOfTheCommand(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		script string
		want   int
	}{
		"success":           {"exit 0", 0},
		"failure":           {"exit 7", 7},
		"killed":            {"kill -9 $$", 137},
		"sees its database": {`[ "$DATABASE_URL" = postgres://here ]`, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := process.Run(t.Context(), []string{"sh", "-c", tt.script}, "DATABASE_URL=postgres://here"); got != tt.want {
				t.Errorf("code = %d, want %d", got, tt.want)
			}
		})
	}
	if got := process.Run(t.Context(), []string{filepath.Join(t.TempDir(), "none")}); got != 127 {
		t.Errorf("code of a missing command = %d, want 127", got)
	}
}

func TestExecuteForwardsTheInterrupt(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	ready := filepath.Join(t.TempDir(), "ready")
	if err := os.MkdirAll(filepath.Dir(ready), 0o755); err != nil {
		t.Fatal(err)
	}
	codes := make(chan int, 1)
	go func() {
		codes <- process.Run(ctx, []string{"sh", "-c", `trap 'exit 5' TERM; mkfifo "$0"; : >"$0" & wait; while :; do sleep 0.05; done`, ready})
	}()
	// Opening the other end of the pipe waits for the command and its trap.
	for {
		f, err := os.Open(ready)
		if err == nil {
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
			break
		}
	}
	cancel()
	if got := <-codes; got != 5 {
		t.Errorf("code = %d, want the command's own 5", got)
	}
}

func TestAnotherPortIsTriedOnlyWhenThePortWasTaken(t *testing.T) {
	t.Parallel()
	other := errors.New("no memory")
	for name, tt := range map[string]struct {
		errs []error // of one attempt after the other; then none
		want int     // attempts
		err  error
	}{
		"free":       {nil, 1, nil},
		"taken once": {[]error{process.ErrPortTaken}, 2, nil},
		"else":       {[]error{other}, 1, other},
		"always": {
			[]error{process.ErrPortTaken, process.ErrPortTaken, process.ErrPortTaken, process.ErrPortTaken, process.ErrPortTaken, process.ErrPortTaken},
			5, process.ErrPortTaken,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			attempts := 0
			got, err := process.OnFreePort(t.Context(), func(port int) (int, error) {
				attempts++
				if attempts <= len(tt.errs) {
					return 0, fmt.Errorf("start: %w", tt.errs[attempts-1])
				}
				return port, nil
			})
			if attempts != tt.want || !errors.Is(err, tt.err) || (got == 0) != (err != nil) {
				t.Errorf("%d attempts, port %d, error %v; want %d attempts, error %v", attempts, got, err, tt.want, tt.err)
			}
		})
	}
}

func TestAServerWhosePortIsTakenSaysSo(t *testing.T) {
	t.Parallel()
	for text, taken := range map[string]bool{
		`could not bind IPv4 address "127.0.0.1": Address already in use`: true,
		"no such setting": false,
	} {
		log := filepath.Join(t.TempDir(), "log")
		if err := os.WriteFile(log, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		p, err := process.Start(process.Config{
			Args: []string{"/bin/sh", "-c", "echo '" + text + "'; exit 1"}, Log: log, Signal: "TERM",
		})
		if err != nil {
			t.Fatal(err)
		}
		err = p.Await(t.Context(), func(context.Context) error { return errors.New("no answer") })
		if errors.Is(err, process.ErrPortTaken) != taken || err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%q: error %v", text, err)
		}
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
	}
}
