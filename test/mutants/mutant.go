package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// mutant is one deliberate bug.
type mutant struct {
	name string
	// breaks says what is wrong with it.
	breaks string
	edits  []edit
	// verdicts are the kinds of which one must be found. Others, and a panic,
	// do not count.
	verdicts []string
	// seeds is how many histories it takes to find it with good odds. Defaults
	// to those that CI makes.
	seeds int
}

// edit replaces a text that occurs once in a file by another.
type edit struct {
	file, old, by string
}

const (
	engine = "pkg/outbox/relay/"
	double = "internal/testkit/memory/"
)

// apply writes the files that m changes below folder, and returns the path of
// each by the path of what it replaces.
func (m *mutant) apply(root, folder string) (map[string]string, error) {
	text := map[string]string{}
	for _, e := range m.edits {
		path := filepath.Join(root, e.file)
		if _, read := text[path]; !read {
			b, err := os.ReadFile(path)
			if err != nil {
				return nil, fmt.Errorf("mutant %q: %w", m.name, err)
			}
			text[path] = string(b)
		}
		if n := strings.Count(text[path], e.old); n != 1 {
			return nil, fmt.Errorf("mutant %q: its text occurs %d times in %s: %q", m.name, n, e.file, e.old)
		}
		text[path] = strings.Replace(text[path], e.old, e.by, 1)
	}
	changed := map[string]string{}
	for path, s := range text {
		to := filepath.Join(folder, strings.ReplaceAll(strings.TrimPrefix(path, root), string(filepath.Separator), "_"))
		if err := os.WriteFile(to, []byte(s), 0o600); err != nil {
			return nil, fmt.Errorf("mutant %q: %w", m.name, err)
		}
		changed[path] = to
	}
	if len(changed) == 0 {
		return nil, fmt.Errorf("mutant %q changes nothing", m.name)
	}
	return changed, nil
}

// moduleRoot returns the folder of go.mod, from the working folder up.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find go.mod: %w", err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", errors.New("find go.mod: not in a module")
		}
		dir = up
	}
}
