// Package view writes what the commands show, as text for people and as JSON for programs. The names of JSON fields
// never change.
package view

import (
	"fmt"
	"io"
)

// Style is how text is written: with or without colours.
type Style struct {
	// Color is true when text has the escape codes of ECMA-48 for colours, which terminals understand.
	Color bool
}

type shade string

const (
	plain  shade = ""
	bold   shade = "1"
	faint  shade = "2"
	red    shade = "31"
	green  shade = "32"
	yellow shade = "33"
)

func (s Style) paint(c shade, text string) string {
	if !s.Color || c == plain || text == "" {
		return text
	}
	return "\x1b[" + string(c) + "m" + text + "\x1b[0m"
}

// printer writes lines to w and remembers the first error, after which it writes nothing.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) line(parts ...string) {
	for _, part := range append(parts, "\n") {
		if p.err == nil {
			_, p.err = io.WriteString(p.w, part)
		}
	}
}

// failed returns the first error of a write, wrapped, or nil.
func (p *printer) failed() error {
	if p.err != nil {
		return fmt.Errorf("write: %w", p.err)
	}
	return nil
}
