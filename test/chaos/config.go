//go:build unix

package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/rig"
)

// config is what the command line says.
type config struct {
	runs     int
	seed     uint64
	parallel int
	kinds    []string
	active   time.Duration
	drain    time.Duration
	logs     string
	tamper   rig.Tamper
}

func parseFlags(args []string, out io.Writer) (config, error) {
	var c config
	var names string
	flags := flag.NewFlagSet("chaos", flag.ContinueOnError)
	flags.SetOutput(out)
	flags.IntVar(&c.runs, "runs", 20, "how many runs")
	flags.Uint64Var(&c.seed, "seed", 1, "seed of the first run; the next ones follow")
	flags.IntVar(&c.parallel, "parallel", 2, "runs at the same time, each with a PostgreSQL of its own")
	flags.StringVar(&names, "faults", "", "only these kinds of faults, separated by commas: "+strings.Join(kindNames(), ", "))
	flags.DurationVar(&c.active, "active", 7*time.Second, "for how long events are written and faults begin")
	flags.DurationVar(&c.drain, "drain", 30*time.Second, "within this, everything must be delivered once the faults have ended")
	flags.StringVar(&c.logs, "logs", "", "where the logs of failed runs are kept (default: the directory for temporary files)")
	if err := flags.Parse(args); err != nil {
		return c, fmt.Errorf("flags: %w", err)
	}
	if flags.NArg() > 0 {
		return c, fmt.Errorf("flags: unexpected %q", flags.Args())
	}
	c.kinds = kindNames()
	if names != "" {
		c.kinds = strings.Split(names, ",")
	}
	return c, c.validate()
}

// again returns the flags that repeat one run.
func (c *config) again(seed uint64) string {
	flags := fmt.Sprintf("-runs 1 -seed %d -active %s -drain %s", seed, c.active, c.drain)
	if !slices.Equal(c.kinds, kindNames()) {
		flags += " -faults " + strings.Join(c.kinds, ",")
	}
	return flags
}

func (c *config) validate() error {
	var errs []error
	if c.runs < 1 {
		errs = append(errs, fmt.Errorf("-runs is %d, want at least 1", c.runs))
	}
	if c.parallel < 1 {
		errs = append(errs, fmt.Errorf("-parallel is %d, want at least 1", c.parallel))
	}
	if c.active < 2*time.Second {
		errs = append(errs, fmt.Errorf("-active is %s, want at least 2s", c.active))
	}
	if c.drain <= 0 {
		errs = append(errs, fmt.Errorf("-drain is %s, want more than 0", c.drain))
	}
	for _, name := range c.kinds {
		if !slices.Contains(kindNames(), name) {
			errs = append(errs, fmt.Errorf("-faults names %q, want some of %s", name, strings.Join(kindNames(), ", ")))
		}
	}
	return errors.Join(errs...)
}
