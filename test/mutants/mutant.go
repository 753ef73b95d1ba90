package mutants

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
	// breaks says in the report what is wrong with the code of the mutant.
	breaks string
	edits  []edit
	// verdicts are the kinds of violation by which the mutant is caught: a failed history counts when it has
	// one of them. A panic does not count.
	verdicts []string
	// seeds is how many histories are simulated at most, if that is more than the command line says: so many are
	// likely to have one that fails, and one is then enough. Zero is for the numbers in the command line.
	seeds int
}

// String returns the name for messages. A nil mutant is the relay without a bug.
func (m *mutant) String() string {
	if m == nil {
		return "the relay"
	}
	return fmt.Sprintf("mutant %q", m.name)
}

// apply writes the source files that the mutant's edits change, with these changes, into folder, and returns
// the path of each by the path of the original, which stays as it is. root is the folder of the module. It
// fails when the place of an edit is not found exactly once.
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
	written := map[string]string{}
	for _, s := range sources {
		changed, err := s.changed()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m, err)
		}
		for path, text := range changed {
			written[path] = filepath.Join(folder, strings.ReplaceAll(strings.TrimPrefix(path, root), string(filepath.Separator), "_"))
			if err := os.WriteFile(written[path], []byte(text), 0o600); err != nil {
				return nil, fmt.Errorf("%s: %w", m, err)
			}
		}
	}
	if len(written) == 0 {
		return nil, fmt.Errorf("%s changes nothing", m)
	}
	return written, nil
}

// edit is one change of the source. Its place is named by a function and by a fragment of Go in it, which is
// compared as syntax: neither formatting, comments, nor the order of lines, functions and files matter.
type edit struct {
	// folder is the folder of the package, relative to the root of the module.
	folder string
	// function is "Function", or "receiver.Method" without pointer and type
	// parameters.
	function string
	// fragment is an expression or a statement that occurs once in the function; it is empty for begin. In it,
	// _ stands for any expression, and an if statement with an empty body for an if statement with that
	// condition and any body, initialisation and else.
	fragment string
	change   change
	// code is the Go that replaces the fragment or is added. Empty for drop.
	code string
}

// change is what an edit does at the place that it names.
type change int

const (
	// replace puts other code in the place of the fragment.
	replace change = iota
	// drop removes the statement of the fragment.
	drop
	// before and after put code beside the statement of the fragment.
	before
	after
	// begin puts code at the beginning of the function; it takes no fragment.
	begin
)
