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
)

// config is what the command line says.
type config struct {
	rounds    int
	phase     time.Duration
	quiet     int
	rate      int
	hotRate   int
	faults    []string
	handOvers time.Duration
	kills     int
	write     string
}

// The bars.
const (
	// mostRatio is what the p99 of those that have no part in a fault may be of
	// what it is in calm.
	mostRatio = 2.0
	// mostGap is the longest pause of a hand-over.
	mostGap = 250 * time.Millisecond
)

func parseFlags(args []string, out io.Writer) (config, error) {
	var c config
	var faults string
	flags := flag.NewFlagSet("isolation", flag.ContinueOnError)
	flags.SetOutput(out)
	flags.IntVar(&c.rounds, "rounds", 5, "how often each fault takes a phase")
	flags.DurationVar(&c.phase, "phase", 4*time.Second, "the length of a phase")
	flags.IntVar(&c.quiet, "quiet", 1000, "how many quiet aggregates there are, at each of two destinations")
	flags.IntVar(&c.rate, "rate", 200, "events a second of the quiet aggregates, at each destination")
	flags.IntVar(&c.hotRate, "hot-rate", 1000, "events a second of the hot aggregate")
	flags.StringVar(&faults, "faults", "", "only these, separated by commas: "+strings.Join(names(), ", "))
	flags.DurationVar(&c.handOvers, "hand-overs", 20*time.Second, "for how long hand-overs are measured; 0 is not at all")
	flags.IntVar(&c.kills, "kills", 6, "how often the relay is killed with kill -9")
	flags.StringVar(&c.write, "write", "", "a Markdown file whose part between the lines <!-- isolation --> and <!-- end of isolation --> becomes the report")
	if err := flags.Parse(args); err != nil {
		return c, fmt.Errorf("flags: %w", err)
	}
	if flags.NArg() > 0 {
		return c, fmt.Errorf("flags: unexpected %q", flags.Args())
	}
	c.faults = names()
	if faults != "" {
		c.faults = strings.Split(faults, ",")
	}
	return c, c.validate()
}

func (c *config) validate() error {
	var errs []error
	for _, f := range []struct {
		name string
		n    int
		min  int
	}{{"-rounds", c.rounds, 1}, {"-quiet", c.quiet, 1}, {"-rate", c.rate, 10}, {"-hot-rate", c.hotRate, 10}, {"-kills", c.kills, 0}} {
		if f.n < f.min {
			errs = append(errs, fmt.Errorf("%s is %d, want at least %d", f.name, f.n, f.min))
		}
	}
	if c.phase < time.Second {
		errs = append(errs, fmt.Errorf("-phase is %s, want at least 1s", c.phase))
	}
	if c.handOvers < 0 {
		errs = append(errs, fmt.Errorf("-hand-overs is %s, want at least 0", c.handOvers))
	}
	for _, name := range c.faults {
		if !slices.Contains(names(), name) {
			errs = append(errs, fmt.Errorf("-faults names %q, want some of %s", name, strings.Join(names(), ", ")))
		}
	}
	return errors.Join(errs...)
}
