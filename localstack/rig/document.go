//go:build unix

package rig

import (
	"fmt"
	"strings"
)

// Replace returns the Markdown text with the part between the lines
// "<!-- name -->" and "<!-- end of name -->" replaced.
func Replace(text, name, part string) (string, error) {
	begin, end := "<!-- "+name+" -->\n", "<!-- end of "+name+" -->\n"
	before, rest, found := strings.Cut(text, begin)
	_, after, closed := strings.Cut(rest, end)
	if !found || !closed {
		return "", fmt.Errorf("there are no lines %s and %s", strings.TrimSpace(begin), strings.TrimSpace(end))
	}
	return before + begin + part + end + after, nil
}
