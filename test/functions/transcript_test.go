//go:build unix

package functions_test

import (
	"strings"
	"sync"
	"time"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/lambdahost"
)

// transcript keeps what a function writes: its add is for [lambdahost.Config].Output. The
// answer of an invocation may arrive before the last lines that it wrote, so a
// test waits for those. Its methods may be called concurrently; the zero value
// is empty and ready.
type transcript struct {
	mu      sync.Mutex
	text    strings.Builder
	waiting []chan struct{}
}

// add appends a line.
func (t *transcript) add(l lambdahost.Line) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text.WriteString(l.Text + "\n")
	for _, c := range t.waiting {
		close(c)
	}
	t.waiting = nil
}

// String returns all that was written so far.
func (t *transcript) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.String()
}

// writes waits for text, for a minute at most, and reports whether the function wrote
// it.
func (t *transcript) writes(text string) bool {
	late := time.NewTimer(time.Minute)
	defer late.Stop()
	for {
		t.mu.Lock()
		found := strings.Contains(t.text.String(), text)
		more := make(chan struct{})
		t.waiting = append(t.waiting, more)
		t.mu.Unlock()
		if found {
			return true
		}
		select {
		case <-more:
		case <-late.C:
			return false
		}
	}
}
