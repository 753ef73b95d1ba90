package mutants

import (
	"errors"
	"fmt"
	"maps"
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
	// verdicts are the kinds of violation of which one must be found. Others, and a
	// panic, do not count.
	verdicts []string
	// seeds is how many histories find it with good odds. Zero is as many as the
	// command line says.
	seeds int
}

// String returns the name as messages have it. Nil is the code as it is.
func (m *mutant) String() string {
	if m == nil {
		return "the relay"
	}
	return fmt.Sprintf("mutant %q", m.name)
}

// apply writes the files that the mutant changes below folder, and returns the path
// of each by the path of the file that it replaces.
func (m *mutant) apply(root, folder string) (map[string]string, error) {
	sources := map[string]*source{}
	var faults []error
	for _, e := range m.edits {
		if sources[e.folder] == nil {
			s, err := readSource(filepath.Join(root, e.folder))
			if err != nil {
				return nil, fmt.Errorf("%s: %w", m, err)
			}
			sources[e.folder] = s
		}
		if err := sources[e.folder].plan(e); err != nil {
			faults = append(faults, fmt.Errorf("%s: %s: %w", m, e.folder, err))
		}
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	text := map[string]string{}
	for _, s := range sources {
		changed, err := s.changed()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m, err)
		}
		maps.Copy(text, changed)
	}
	if len(text) == 0 {
		return nil, fmt.Errorf("%s changes nothing", m)
	}
	written := map[string]string{}
	for path, s := range text {
		to := filepath.Join(folder, strings.ReplaceAll(strings.TrimPrefix(path, root), string(filepath.Separator), "_"))
		if err := os.WriteFile(to, []byte(s), 0o600); err != nil {
			return nil, fmt.Errorf("%s: %w", m, err)
		}
		written[path] = to
	}
	return written, nil
}
