package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/serverless-outbox/serverless-outbox/localstack/demo/source"
)

// config is what the command line and the variables SOURCE and EMULATOR say, with the defaults for the rest.
type config struct {
	source     source.Source
	emulator   string
	events     int
	aggregates int
	rate       float64
	steady     int
	writers    int
	tick       time.Duration
	timeout    time.Duration
	kill       bool
	embedded   bool
	json       bool
	verbose    bool
	seed       uint64
}

const (
	// relayTimeout is the time limit of one invocation of the relay, relayMargin how long before that limit the
	// relay ends its work. Every tick starts a new invocation, which takes over.
	relayTimeout = 20 * time.Second
	relayMargin  = 4 * time.Second
	// readAhead is a setting of the checker: the longest time for which a relay may keep an event in memory before
	// the broker accepts it, on a machine with much else to do.
	readAhead = 30 * time.Second
)

// parseFlags returns the config of the arguments; getenv gives the variables SOURCE and EMULATOR, the defaults of two
// flags. Usage and what the flag package refuses are printed to out and returned, other faults only returned. The error
// for -h wraps flag.ErrHelp.
func parseFlags(args []string, getenv func(string) string, out io.Writer) (config, error) {
	var c config
	var from string
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	flags.SetOutput(out)
	flags.StringVar(&from, "source", cmp.Or(getenv("SOURCE"), "webhooks"), "what to replay: webhooks, npm, or git:PATH (env SOURCE)")
	flags.StringVar(&c.emulator, "emulator", cmp.Or(getenv("EMULATOR"), "fake"), "SNS and SQS: fake, localstack, or the URL of an endpoint (env EMULATOR)")
	flags.IntVar(&c.events, "events", 0, "how many events (default 21000, and 2000 with an emulator other than fake)")
	flags.IntVar(&c.aggregates, "aggregates", 0, "over how many aggregates at least (default 1200, and 300 with an emulator other than fake)")
	flags.Float64Var(&c.rate, "rate", 0, "events a second before the burst (default 500, and 50 with an emulator other than fake)")
	flags.IntVar(&c.writers, "writers", 8, "writers side by side")
	flags.DurationVar(&c.tick, "tick", 5*time.Second, "time between invocations of the relay")
	flags.DurationVar(&c.timeout, "timeout", 5*time.Minute, "give up after this long")
	flags.BoolVar(&c.kill, "kill", false, "kill the relay with SIGKILL in the steady part and in the burst")
	flags.BoolVar(&c.embedded, "embedded", false, "use the embedded PostgreSQL even when one is installed")
	flags.BoolVar(&c.json, "json", false, "print the report as JSON")
	flags.BoolVar(&c.verbose, "verbose", false, "print what the relay logs")
	flags.Uint64Var(&c.seed, "seed", 1, "decides order and mishaps")
	if err := flags.Parse(args); err != nil {
		return c, fmt.Errorf("flags: %w", err)
	}
	if flags.NArg() > 0 {
		return c, fmt.Errorf("flags: unexpected %q", flags.Args())
	}
	c.setDefaults()
	var err error
	if c.source, err = sourceOf(from); err != nil {
		return c, err
	}
	return c, c.validate()
}

func (c *config) setDefaults() {
	events, aggregates, rate := 21_000, 1200, 500.0
	if c.emulator != "fake" {
		events, aggregates, rate = 2000, 300, 50
	}
	c.events, c.aggregates, c.rate = cmp.Or(c.events, events), cmp.Or(c.aggregates, aggregates), cmp.Or(c.rate, rate)
	// A quarter of the events comes steadily.
	c.steady = c.events / 4
}

func (c *config) validate() error {
	var errs []error
	if c.events < 1 {
		errs = append(errs, fmt.Errorf("-events is %d, want at least 1", c.events))
	}
	if c.rate <= 0 {
		errs = append(errs, fmt.Errorf("-rate is %v, want more than 0", c.rate))
	}
	if c.writers < 1 {
		errs = append(errs, fmt.Errorf("-writers is %d, want at least 1", c.writers))
	}
	if most := (relayTimeout - relayMargin) / 2; c.tick < time.Second || c.tick > most {
		errs = append(errs, fmt.Errorf("-tick is %s, want 1s to %s, so that runs overlap", c.tick, most))
	}
	if c.emulator != "fake" && c.emulator != "localstack" && !strings.HasPrefix(c.emulator, "http://") && !strings.HasPrefix(c.emulator, "https://") {
		errs = append(errs, fmt.Errorf("-emulator is %q, want fake, localstack or a URL", c.emulator))
	}
	return errors.Join(errs...)
}

func sourceOf(name string) (source.Source, error) {
	switch kind, path, _ := strings.Cut(name, ":"); {
	case name == "webhooks":
		return source.Webhooks{}, nil
	case name == "npm":
		cache, err := os.UserCacheDir()
		if err != nil {
			return nil, fmt.Errorf("-source: %w", err)
		}
		return source.NPM{Cache: filepath.Join(cache, "serverless-outbox", "webhooks-examples")}, nil
	case kind == "git" && path != "":
		return source.Git{Path: path}, nil
	}
	return nil, fmt.Errorf("-source is %q, want webhooks, npm or git:PATH", name)
}
