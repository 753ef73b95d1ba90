// Command mutants puts deliberate bugs into the relay, one at a time, and
// fails unless the simulation's verdict tells of each: see docs/reliability.md.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"time"
)

func main() {
	c := campaign{out: os.Stdout}
	flag.IntVar(&c.seeds, "seeds", 100, "histories that each mutant is given")
	flag.IntVar(&c.enough, "enough", 5, "stop a mutant after so many histories that failed; 0 is never")
	flag.IntVar(&c.least, "least", 3, "fewer failed histories than this count as a survivor; where a mutant is known to need more seeds, one is enough")
	flag.StringVar(&c.only, "only", "", "run only mutants whose name has this in it")
	flag.DurationVar(&c.limit, "limit", 2*time.Minute, "most time for one mutant")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := c.run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		stop()
		os.Exit(1) //nolint:gocritic // stop was called
	}
}
