// Package campaign is what the repository's long tests share: one command line, runs
// side by side with a printed line for each, exit codes, and reports that are
// written into the documentation.
package campaign

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
)

// Campaign is a long test that is started by its name.
type Campaign struct {
	// Name is the first argument of the command, and the name of the marks between
	// which [WritePart] puts the report.
	Name string
	// About says in one line what the campaign does, for the list of campaigns.
	About string
	// Declare declares the campaign's own flags and returns the function that runs
	// it with their values. Main calls that function after the flags were parsed.
	Declare func(*Flags) Run
}

// Run makes all runs of a campaign and returns its report. It prints progress to
// out. An error means that the campaign could not be carried out; the report then
// covers the runs that were made before the error, and is empty when there were none.
type Run func(ctx context.Context, out io.Writer) (Report, error)

// Report is what a campaign found.
type Report struct {
	// Text is the report in Markdown.
	Text string
	// OK is whether every run kept every promise that the campaign tests.
	OK bool
}

// Main runs the campaign in all that the first of args names, with the other args as its
// flags. It prints progress and report to stdout, and returns the exit code of the process:
// 0 when the report is OK or help was asked for, 1 when the report is not OK, could not be
// written, or the campaign could not be carried out, and 2 when args are wrong.
func Main(ctx context.Context, all []Campaign, args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 || args[0] == "-h" || args[0] == "-help" || args[0] == "--help" {
		list(all, stderr)
		if len(args) == 0 {
			return 2
		}
		return 0
	}
	for _, c := range all {
		if c.Name == args[0] {
			return c.main(ctx, args[1:], stdout, stderr)
		}
	}
	_, _ = fmt.Fprintf(stderr, "there is no campaign %q\n", args[0])
	list(all, stderr)
	return 2
}

// main runs the campaign with args as its flags, and returns the exit code as Main does.
func (c *Campaign) main(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := NewFlags(c.Name, stderr)
	var write string
	flags.String(&write, "write", fmt.Sprintf("a Markdown `file` whose part between <!-- %s --> and <!-- end of %[1]s --> becomes the report", c.Name))
	run := c.Declare(flags)
	err := flags.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		_, _ = fmt.Fprintln(stderr, err)
		return 2
	}
	report, err := run(ctx, stdout)
	if report.Text != "" {
		_, _ = fmt.Fprint(stdout, "\n", report.Text)
	}
	if err == nil && write != "" {
		err = WritePart(write, c.Name, report.Text)
	}
	if err != nil {
		_, _ = fmt.Fprintln(stderr, err)
	}
	if err != nil || !report.OK {
		return 1
	}
	return 0
}

// list prints how the command is used, and the name of each campaign with what it does.
func list(all []Campaign, out io.Writer) {
	_, _ = fmt.Fprint(out, "usage: campaign NAME [-flag ...]; campaign NAME -help lists its flags\n\n")
	for _, c := range all {
		_, _ = fmt.Fprintf(out, "  %-11s %s\n", c.Name, c.About)
	}
}
