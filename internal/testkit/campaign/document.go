package campaign

import (
	"fmt"
	"os"
	"strings"
)

// WritePart puts part, which ends with a newline, into the Markdown file at path, in the
// place of what is between the lines "<!-- name -->" and "<!-- end of name -->". It errs
// when the file lacks one of these lines, and then changes nothing.
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

// replace returns text with part between the two lines that name marks, or an error when text lacks one of them.
func replace(text, name, part string) (string, error) {
	begin, end := "<!-- "+name+" -->\n", "<!-- end of "+name+" -->\n"
	before, rest, found := strings.Cut(text, begin)
	_, after, closed := strings.Cut(rest, end)
	if !found || !closed {
		return "", fmt.Errorf("there are no lines %s and %s", strings.TrimSpace(begin), strings.TrimSpace(end))
	}
	return before + begin + part + end + after, nil
}
