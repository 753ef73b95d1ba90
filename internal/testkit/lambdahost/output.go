//go:build unix

package lambdahost

import (
	"bytes"
	"sync"
)

// lineWriter cuts what a process writes into lines.
type lineWriter struct {
	mu   sync.Mutex
	rest []byte            // what came after the last newline
	emit func(text string) // called with each line, without its newline
}

// writer returns a writer that gives each line to Config.Output.
func (e *environment) writer() *lineWriter {
	return &lineWriter{emit: func(text string) {
		e.cfg.Output(Line{Environment: e.id, RequestID: e.requestID(), Text: text})
	}}
}

// Write implements io.Writer. It never fails. It emits each line that p ends, and keeps the rest.
func (w *lineWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rest = append(w.rest, p...)
	for {
		line, rest, found := bytes.Cut(w.rest, []byte("\n"))
		if !found {
			return len(p), nil
		}
		w.emit(string(line))
		w.rest = rest
	}
}

// flush emits what came after the last newline, if anything.
func (w *lineWriter) flush() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.rest) > 0 {
		w.emit(string(w.rest))
		w.rest = nil
	}
}
