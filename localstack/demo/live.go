package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/term"
)

// live shows progress: on a terminal in one line that is overwritten, elsewhere in a line every two seconds.
type live struct {
	out      io.Writer
	terminal bool
	start    time.Time
}

func newLive(out *os.File) *live {
	return &live{out: out, terminal: term.IsTerminal(int(out.Fd())), start: time.Now()}
}

// say prints a line that stays, with the seconds since the start before it. Errors of the terminal are ignored.
func (l *live) say(format string, args ...any) {
	if l.terminal {
		_, _ = fmt.Fprint(l.out, "\r\x1b[K")
	}
	_, _ = fmt.Fprintf(l.out, "%5.1fs  %s\n", time.Since(l.start).Seconds(), fmt.Sprintf(format, args...))
}

// watch calls line and prints what it returns, until ctx ends: four times a second on a terminal, where each line
// overwrites the last, and every two seconds elsewhere.
func (l *live) watch(ctx context.Context, line func(ctx context.Context) string) {
	every := 2 * time.Second
	if l.terminal {
		every = 250 * time.Millisecond
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			if l.terminal {
				_, _ = fmt.Fprint(l.out, "\r\x1b[K")
			}
			return
		}
		text := line(ctx)
		if l.terminal {
			_, _ = fmt.Fprintf(l.out, "\r\x1b[K%5.1fs  %s", time.Since(l.start).Seconds(), text)
		} else {
			l.say("%s", text)
		}
	}
}
