//go:build unix

package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/failpoint"
)

// config is what the command line says.
type config struct {
	steps    []failpoint.Step
	faults   []failpoint.Fault
	times    int
	parallel int
	seed     uint64
	logs     string
	write    string
}

func parseFlags(args []string, out io.Writer) (config, error) {
	c := config{steps: failpoint.Steps(), faults: failpoint.Faults()}
	var steps, faults string
	flags := flag.NewFlagSet("failpoints", flag.ContinueOnError)
	flags.SetOutput(out)
	flags.StringVar(&steps, "steps", "", "only these steps, separated by commas: "+join(c.steps))
	flags.StringVar(&faults, "faults", "", "only these faults, separated by commas: "+join(c.faults))
	flags.IntVar(&c.times, "times", 3, "how often a fault happens in its run")
	flags.IntVar(&c.parallel, "parallel", 4, "runs at the same time")
	flags.Uint64Var(&c.seed, "seed", 1, "decides what is written")
	flags.StringVar(&c.logs, "logs", "", "where the logs of failed runs are kept (default: the directory for temporary files)")
	flags.StringVar(&c.write, "write", "", "a Markdown file whose part between the lines <!-- failpoints --> and <!-- end of failpoints --> becomes the table")
	if err := flags.Parse(args); err != nil {
		return c, fmt.Errorf("flags: %w", err)
	}
	if flags.NArg() > 0 {
		return c, fmt.Errorf("flags: unexpected %q", flags.Args())
	}
	var errs [2]error
	c.steps, errs[0] = pick("-steps", steps, c.steps)
	c.faults, errs[1] = pick("-faults", faults, c.faults)
	err := errors.Join(errs[:]...)
	if c.times < 1 {
		err = errors.Join(err, fmt.Errorf("-times is %d, want at least 1", c.times))
	}
	if c.parallel < 1 {
		err = errors.Join(err, fmt.Errorf("-parallel is %d, want at least 1", c.parallel))
	}
	return c, err
}

// pick returns those of all that the names say.
func pick[T ~string](flagName, names string, all []T) ([]T, error) {
	if names == "" {
		return all, nil
	}
	var picked []T
	for name := range strings.SplitSeq(names, ",") {
		if !slices.Contains(all, T(name)) {
			return nil, fmt.Errorf("%s names %q, want some of %s", flagName, name, join(all))
		}
		picked = append(picked, T(name))
	}
	return picked, nil
}

func join[T ~string](all []T) string {
	names := make([]string, len(all))
	for i := range all {
		names[i] = string(all[i])
	}
	return strings.Join(names, ", ")
}
