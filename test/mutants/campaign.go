// Package mutants puts deliberate bugs into the relay and its doubles, one at a time.
// Its report is OK only when the verdict of the simulation tells of each: see
// docs/reliability.md.
package mutants

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/campaign"
)

// Campaign returns the campaign "mutants" for the command campaign.
func Campaign() campaign.Campaign {
	return campaign.Campaign{
		Name: "mutants", About: "deliberate bugs in the relay, and whether the simulation tells of each",
		Declare: func(f *campaign.Flags) campaign.Run {
			var c config
			c.declare(f)
			return c.run
		},
	}
}

// config is what the command line says.
type config struct {
	seeds, enough, least, parallel int
	only                           string
	limit                          time.Duration
}

func (c *config) declare(f *campaign.Flags) {
	f.Int(&c.seeds, "seeds", 100, 1, "histories that each mutant is given")
	f.Int(&c.enough, "enough", 5, 0, "stop a mutant after so many histories that failed; 0 is never")
	f.Int(&c.least, "least", 3, 1, "a mutant survives when fewer histories than this tell of it; where it is known to need more seeds, one is enough")
	f.Parallel(&c.parallel, 1)
	f.String(&c.only, "only", "run only mutants whose name has this in it")
	f.Duration(&c.limit, "limit", 10*time.Minute, time.Second, "most time for one mutant")
}

// found is what became of one mutant. verdict has the kinds of violation that were counted, and how many
// histories had each.
type found struct {
	mutant *mutant
	// histories is how many histories were simulated, or that failed when the process broke off; failed is how many
	// had a violation, counted how many had one of a kind in mutant.verdicts, of any kind without a mutant; first is
	// the lowest seed of the counted ones, 0 when there is none.
	histories, failed, counted int
	first                      uint64
	verdict                    string
	// survives is set when counted is less than what the command line asks for (one, for a mutant with seeds of
	// its own).
	survives bool
	// ended says how the process of the simulation broke off, such as by a panic. It is "" when the process did
	// not.
	ended string
	// err is why the mutant could not be run at all, nil when it was.
	err error
}

// Line implements [campaign.Result]: a row of the report's table.
func (f *found) Line() string {
	if f.err != nil {
		return fmt.Sprintf("| %s | %s | NOT RUN | | |\n", f.mutant.name, f.mutant.breaks)
	}
	verdict := f.verdict
	if f.survives {
		verdict = strings.TrimSpace("SURVIVES " + verdict)
	}
	if f.ended != "" {
		verdict += "; then " + f.ended
	}
	return fmt.Sprintf("| %s | %s | %s | %d of %d | %d |\n", f.mutant.name, f.mutant.breaks, verdict, f.counted, f.histories, f.first)
}

func (c *config) run(ctx context.Context, out io.Writer) (campaign.Report, error) {
	root, err := moduleRoot(ctx)
	if err != nil {
		return campaign.Report{}, err
	}
	dir, err := os.MkdirTemp("", "mutants")
	if err != nil {
		return campaign.Report{}, fmt.Errorf("temporary folder: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	clean, err := c.try(ctx, root, dir, nil)
	switch {
	case err != nil:
		return campaign.Report{}, fmt.Errorf("without a mutant: %w", err)
	case clean.failed > 0 || clean.ended != "":
		return campaign.Report{}, fmt.Errorf("without a mutant %d of %d histories fail, the first is seed %d: %s %s", clean.failed, clean.histories, clean.first, clean.verdict, clean.ended)
	}
	_, _ = fmt.Fprintf(out, "without a mutant %d histories pass\n", clean.histories)
	chosen := slices.DeleteFunc(mutants(), func(m mutant) bool { return !strings.Contains(m.name, c.only) })
	results, err := campaign.Runs(ctx, len(chosen), c.parallel, out, func(ctx context.Context, worker, number int) (*found, error) {
		m := &chosen[number]
		own := filepath.Join(dir, fmt.Sprint(worker))
		if mkdirErr := os.MkdirAll(own, 0o750); mkdirErr != nil {
			return nil, mkdirErr
		}
		f, tryErr := c.try(ctx, root, own, m)
		f.mutant, f.err, f.survives = m, tryErr, f.counted < c.leastOf(m)
		return &f, nil
	})
	return report(clean.histories, results), err
}

// report makes a table of the results, and below it a list of the mutants that survive or could not be run. It
// is OK when there are results and that list is empty. histories is how many passed without a mutant.
func report(histories int, results []*found) campaign.Report {
	var b, faults strings.Builder
	fmt.Fprintf(&b, "Without a mutant %d histories pass.\n\n| mutant | what it breaks | caught by | failed | first seed |\n| --- | --- | --- | ---: | ---: |\n", histories)
	for _, f := range results {
		b.WriteString(f.Line())
		switch {
		case f.err != nil:
			fmt.Fprintf(&faults, "- %v\n", f.err)
		case f.survives:
			fmt.Fprintf(&faults, "- %s survives: %d histories of %d tell of it (%d failed otherwise) %s\n", f.mutant, f.counted, f.histories, f.failed-f.counted, f.ended)
		}
	}
	if faults.Len() > 0 {
		b.WriteString("\n" + faults.String())
	}
	return campaign.Report{Text: b.String(), OK: len(results) > 0 && faults.Len() == 0}
}

// moduleRoot returns the folder of go.mod.
func moduleRoot(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return "", fmt.Errorf("find the module: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// leastOf returns how many histories must tell of a mutant: one for a mutant that has a number of seeds of its
// own.
func (c *config) leastOf(m *mutant) int {
	if m.seeds > 0 {
		return 1
	}
	return c.least
}

// try builds the simulation with the mutant in place, without a bug when m is nil, runs it, and returns what became
// of it. It writes the binary, the changed sources and the verdicts into dir. An error says that the simulation
// could not be built or its verdicts not be read; a run that broke off is no error, and has found.ended set. try
// takes c.limit and a minute at most.
func (c *config) try(ctx context.Context, root, dir string, m *mutant) (found, error) {
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

// read counts the failed histories in a file of verdicts, with one JSON object a line, and those of them with a
// violation of a kind in m.verdicts, or of any kind when m is nil. A line that was cut short ends the reading
// without an error.
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

// histories returns the number of histories that TestSimulate reports at its end in the output out, 0 when it
// broke off before.
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

// why returns the line of the output with the panic or fatal error that ended a process, and the text of err
// when there is none.
func why(out []byte, err error) string {
	for line := range bytes.Lines(out) {
		if bytes.HasPrefix(line, []byte("panic: ")) || bytes.HasPrefix(line, []byte("fatal error: ")) {
			return string(bytes.TrimSpace(line))
		}
	}
	return fmt.Sprint(err)
}
