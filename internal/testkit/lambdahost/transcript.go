//go:build unix

package lambdahost

import (
	"strings"
	"sync"
	"time"
)

// Transcript keeps what a function writes: its Add is for [Config].Output. The
// answer of an invocation may arrive before the last lines that it wrote, so a
// test waits for those. Its methods may be called concurrently; the zero value
// is empty and ready.
type Transcript struct {
	mu      sync.Mutex
	text    strings.Builder
	waiting []chan struct{}
}

// Add appends a line.
func (t *Transcript) Add(l Line) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text.WriteString(l.Text + "\n")
	for _, c := range t.waiting {
		close(c)
	}
	t.waiting = nil
}

// String returns all that was written so far.
func (t *Transcript) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.String()
}

// Writes waits for text, for a minute at most, and reports whether the function wrote
// it.
func (t *Transcript) Writes(text string) bool {
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
