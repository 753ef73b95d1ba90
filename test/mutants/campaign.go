package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// campaign runs all mutants.
type campaign struct {
	seeds, enough, least int
	only                 string
	limit                time.Duration
	out                  io.Writer
}

// found is what became of one mutant.
type found struct {
	histories, failed, counted int
	first                      uint64
	verdict                    string
	// ended says how the run ended when it did not come to its end.
	ended string
}

func (c *campaign) run(ctx context.Context) error {
	root, err := moduleRoot()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "mutants")
	if err != nil {
		return fmt.Errorf("temporary folder: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	clean, err := c.try(ctx, root, dir, nil)
	switch {
	case err != nil:
		return fmt.Errorf("without a mutant: %w", err)
	case clean.failed > 0 || clean.ended != "":
		return fmt.Errorf("without a mutant %d of %d histories fail, the first is seed %d: %s %s", clean.failed, clean.histories, clean.first, clean.verdict, clean.ended)
	}
	_, _ = fmt.Fprintf(c.out, "Without a mutant %d histories pass.\n\n| mutant | what it breaks | caught by | failed | first seed |\n| --- | --- | --- | ---: | ---: |\n", clean.histories)
	var faults []error
	for _, m := range mutants() {
		if !strings.Contains(m.name, c.only) {
			continue
		}
		f, err := c.try(ctx, root, dir, &m)
		if ctx.Err() != nil {
			return fmt.Errorf("mutant %q: %w", m.name, ctx.Err())
		}
		switch {
		case err != nil:
			faults = append(faults, err)
			_, _ = fmt.Fprintf(c.out, "| %s | %s | NOT RUN | | |\n", m.name, m.breaks)
			continue
		case f.counted < c.leastOf(&m):
			faults = append(faults, fmt.Errorf("mutant %q survives: %d histories of %d tell of it (%d failed otherwise) %s", m.name, f.counted, f.histories, f.failed-f.counted, f.ended))
			f.verdict = strings.TrimSpace("SURVIVES " + f.verdict + " " + f.ended)
		}
		if f.ended != "" && f.counted >= c.leastOf(&m) {
			f.verdict += "; then " + f.ended
		}
		_, _ = fmt.Fprintf(c.out, "| %s | %s | %s | %d of %d | %d |\n", m.name, m.breaks, f.verdict, f.counted, f.histories, f.first)
	}
	return errors.Join(faults...)
}

// leastOf returns how many histories must tell of m: one, where it is known to
// take many.
func (c *campaign) leastOf(m *mutant) int {
	if m.seeds > 0 {
		return 1
	}
	return c.least
}

// try builds the simulation with the mutant in place, nil for none, and runs it.
func (c *campaign) try(ctx context.Context, root, dir string, m *mutant) (found, error) {
	ctx, cancel := context.WithTimeout(ctx, c.limit+time.Minute)
	defer cancel()
	binary, overlay, verdicts := filepath.Join(dir, "relay.test"), filepath.Join(dir, "overlay.json"), filepath.Join(dir, "verdicts")
	build := []string{"test", "-c", "-vet=off", "-o", binary}
	if m != nil {
		changed, err := m.apply(root, dir)
		if err != nil {
			return found{}, err
		}
		b, err := json.Marshal(map[string]any{"Replace": changed})
		if err != nil {
			return found{}, fmt.Errorf("overlay: %w", err)
		}
		if err := os.WriteFile(overlay, b, 0o600); err != nil {
			return found{}, fmt.Errorf("overlay: %w", err)
		}
		build = append(build, "-overlay", overlay)
	}
	compile := exec.CommandContext(ctx, "go", append(build, "./"+engine)...)
	compile.Dir = root
	if out, err := compile.CombinedOutput(); err != nil {
		return found{}, fmt.Errorf("%s does not compile: %w\n%s", m, err, out)
	}
	if err := os.RemoveAll(verdicts); err != nil {
		return found{}, fmt.Errorf("verdicts: %w", err)
	}
	seeds, enough := c.seeds, c.enough
	if m != nil && m.seeds > seeds {
		seeds, enough = m.seeds, min(enough, c.leastOf(m))
	}
	if enough == 0 || m == nil {
		enough = seeds
	}
	kinds := ""
	if m != nil {
		kinds = strings.Join(m.verdicts, ",")
	}
	simulate := exec.CommandContext(ctx, binary, "-test.v", "-simulate.kinds="+kinds, "-test.run=^TestSimulate$", "-test.timeout="+c.limit.String(),
		fmt.Sprint("-simulate.n=", seeds), fmt.Sprint("-simulate.fails=", enough), "-simulate.verdicts="+verdicts)
	simulate.Dir = filepath.Join(root, engine)
	out, err := simulate.CombinedOutput()
	f, readErr := read(verdicts, m)
	if readErr != nil {
		return f, readErr
	}
	f.histories = histories(out)
	if f.histories == 0 {
		f.histories = f.failed
		f.ended = "the run broke off: " + why(out, err)
	}
	return f, nil
}

// String returns the name.
func (m *mutant) String() string {
	if m == nil {
		return "the relay"
	}
	return fmt.Sprintf("mutant %q", m.name)
}

// read counts the histories that failed, and those whose verdict tells of m.
func read(path string, m *mutant) (found, error) {
	var f found
	file, err := os.Open(path)
	if err != nil {
		return f, fmt.Errorf("verdicts: %w", err)
	}
	defer func() { _ = file.Close() }()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<24)
	kinds := map[string]int{}
	for lines.Scan() {
		var v struct {
			Seed       uint64
			Violations []struct{ Kind string }
		}
		if err := json.Unmarshal(lines.Bytes(), &v); err != nil {
			break // cut short by the end of the process
		}
		f.failed++
		seen := map[string]bool{}
		for _, x := range v.Violations {
			if m == nil || slices.Contains(m.verdicts, x.Kind) {
				seen[x.Kind] = true
			}
		}
		if len(seen) == 0 {
			continue
		}
		f.counted++
		if f.first == 0 || v.Seed < f.first {
			f.first = v.Seed
		}
		for kind := range seen {
			kinds[kind]++
		}
	}
	var names []string
	for kind, n := range kinds {
		names = append(names, fmt.Sprintf("%s %d", kind, n))
	}
	slices.Sort(names)
	f.verdict = strings.Join(names, ", ")
	return f, lines.Err()
}

// histories returns how many TestSimulate says it made.
func histories(out []byte) int {
	for line := range bytes.Lines(out) {
		_, rest, ok := bytes.Cut(line, []byte("simulate_test.go:"))
		if !ok {
			continue
		}
		var at, n, events int
		if _, err := fmt.Sscanf(string(rest), "%d: %d histories, %d events", &at, &n, &events); err == nil {
			return n
		}
	}
	return 0
}

// why returns the line that tells how a process broke off.
func why(out []byte, err error) string {
	for line := range bytes.Lines(out) {
		if bytes.HasPrefix(line, []byte("panic: ")) || bytes.HasPrefix(line, []byte("fatal error: ")) {
			return string(bytes.TrimSpace(line))
		}
	}
	return fmt.Sprint(err)
}
