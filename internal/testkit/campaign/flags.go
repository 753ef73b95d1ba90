package campaign

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// Flags are the flags of one campaign. Each is declared with the variable for its value
// and the values that are allowed; the error of Parse names all that have another value.
type Flags struct {
	set *flag.FlagSet
	// checks are called after the flags were parsed, and return an error when a value is not allowed.
	checks []func() error
}

// NewFlags returns the flags of the named campaign before any is declared. Their
// help, and what is wrong with their syntax, is printed to out.
func NewFlags(name string, out io.Writer) *Flags {
	set := flag.NewFlagSet(name, flag.ContinueOnError)
	set.SetOutput(out)
	return &Flags{set: set}
}

// Parse sets the declared variables from args. It returns an error that wraps
// [flag.ErrHelp] after the help was asked for and printed, and another one for an argument
// that is no flag, and for values that are not allowed.
func (f *Flags) Parse(args []string) error {
	if err := f.set.Parse(args); err != nil {
		return fmt.Errorf("flags: %w", err)
	}
	if f.set.NArg() > 0 {
		return fmt.Errorf("flags: unexpected %q", f.set.Args())
	}
	var faults []error
	for _, check := range f.checks {
		faults = append(faults, check())
	}
	return errors.Join(faults...)
}

// Int declares the flag -name, an integer that Parse puts into p. value is its default, and least the smallest that
// Parse allows.
func (f *Flags) Int(p *int, name string, value, least int, usage string) {
	f.set.IntVar(p, name, value, usage)
	f.checks = append(f.checks, func() error {
		if *p < least {
			return fmt.Errorf("-%s is %d, want at least %d", name, *p, least)
		}
		return nil
	})
}

// Duration declares the flag -name, a duration such as 10s that Parse puts into p. value is its default, and least
// the shortest that Parse allows.
func (f *Flags) Duration(p *time.Duration, name string, value, least time.Duration, usage string) {
	f.set.DurationVar(p, name, value, usage)
	f.checks = append(f.checks, func() error {
		if *p < least {
			return fmt.Errorf("-%s is %s, want at least %s", name, *p, least)
		}
		return nil
	})
}

// String declares the flag -name, any text, that Parse puts into p. It is empty by default.
func (f *Flags) String(p *string, name, usage string) { f.set.StringVar(p, name, "", usage) }

// Seed declares -seed, which decides what the runs draw at random, and which Parse puts into p. Its default is 1.
func (f *Flags) Seed(p *uint64) {
	f.set.Uint64Var(p, "seed", 1, "decides what is chosen; where there are several runs, the seed of the first")
}

// Parallel declares -parallel, the number of runs made at the same time: at least 1, and value by default.
func (f *Flags) Parallel(p *int, value int) {
	f.Int(p, "parallel", value, 1, "runs at the same time")
}

// Logs declares -logs, the folder for the logs of failed runs. Empty, the default, is the system's folder for
// temporary files.
func (f *Flags) Logs(p *string) {
	f.String(p, "logs", "the `folder` in which the logs of failed runs are kept (default: the one for temporary files)")
}

// Pick declares the flag -name, a list of names, separated by commas. Parse sets p to all
// when the flag is not given, and otherwise to the names given, in their order. It errs
// for a name that is not in all.
func Pick[T ~string](f *Flags, p *[]T, name string, all []T) {
	var text string
	f.String(&text, name, "only these, separated by commas: "+join(all))
	f.checks = append(f.checks, func() error {
		*p = all
		if text == "" {
			return nil
		}
		*p = nil
		for one := range strings.SplitSeq(text, ",") {
			if !slices.Contains(all, T(one)) {
				return fmt.Errorf("-%s names %q, want some of %s", name, one, join(all))
			}
			*p = append(*p, T(one))
		}
		return nil
	})
}

func join[T ~string](all []T) string {
	names := make([]string, len(all))
	for i := range all {
		names[i] = string(all[i])
	}
	return strings.Join(names, ", ")
}
