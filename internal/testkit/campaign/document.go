package campaign

import (
	"fmt"
	"os"
	"strings"
)

// WritePart replaces the part of a Markdown file between the lines
// "<!-- name -->" and "<!-- end of name -->".
func WritePart(path, name, part string) error {
	old, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	text, err := replace(string(old), name, part)
	if err != nil {
		return fmt.Errorf("write %s to %s: %w", name, path, err)
	}
	return os.WriteFile(path, []byte(text), 0o644) //nolint:gosec // A document is for all to read.
}

func replace(text, name, part string) (string, error) {
	begin, end := "<!-- "+name+" -->\n", "<!-- end of "+name+" -->\n"
	before, rest, found := strings.Cut(text, begin)
	_, after, closed := strings.Cut(rest, end)
	if !found || !closed {
		return "", fmt.Errorf("there are no lines %s and %s", strings.TrimSpace(begin), strings.TrimSpace(end))
	}
	return before + begin + part + end + after, nil
}
