//go:build unix

package process_test

import (
	"context"
	"os"
	"path/filepath"
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
