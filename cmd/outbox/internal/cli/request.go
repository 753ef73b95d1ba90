package cli

import (
	"errors"
	"regexp"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/serverless-outbox/serverless-outbox/internal/janitor"
	"github.com/serverless-outbox/serverless-outbox/internal/redrive"
)

// requestFlags has the values of the flags that make a request. Several commands have these flags.
type requestFlags struct {
	request   redrive.Request
	events    []string
	from, to  string
	requestID string
	asJSON    bool
	// aggregateLimit is the flag --aggregate-limit, which only the command replay has.
	aggregateLimit int
}

// filters adds to cmd the flags that select events, and --json.
func (f *requestFlags) filters(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringSliceVar(&f.events, "event-id", nil, "only these events (repeat it, or separate with commas)")
	flags.StringVar(&f.request.Destination, "destination", "", "only events of this destination")
	flags.StringVar(&f.request.AggregateType, "aggregate-type", "", "only events of aggregates of this type")
	flags.StringVar(&f.request.AggregateID, "aggregate-id", "", "only events of this aggregate (with --aggregate-type)")
	flags.StringVar(&f.request.EventType, "event-type", "", "only events of this type")
	flags.StringVar(&f.from, "from", "", "only events written at this time or later (RFC 3339)")
	flags.StringVar(&f.to, "to", "", "only events written before this time (RFC 3339)")
	flags.Int64Var(&f.request.IDFrom, "id-from", 0, "only rows with this id or a higher one")
	flags.Int64Var(&f.request.IDTo, "id-to", 0, "only rows with this id or a lower one")
	flags.BoolVar(&f.asJSON, "json", false, "write JSON")
}

// run adds to cmd the flags of a command that brings events back: limit, rate, dry run, token and request id.
func (f *requestFlags) run(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.IntVar(&f.request.Limit, "limit", 0, "bring back this many at most (default all)")
	flags.Float64Var(&f.request.Rate, "rate", 0, "bring back this many a second at most (default as fast as it goes)")
	flags.BoolVar(&f.request.DryRun, "dry-run", false, "change nothing, and count what would be brought back")
	flags.StringVar(&f.request.Token, "token", "", "go on where an earlier run ended")
	flags.StringVar(&f.requestID, "request-id", "", "noted in the history of each event (default outbox-cli and $USER)")
}

// build returns the request of the flags: it parses the event ids and the times, validates the request, and fills
// in the default action. Its errors are failures for wrong usage, which name flags.
func (f *requestFlags) build() (redrive.Request, error) {
	r := f.request
	for _, text := range f.events {
		id, err := uuid.Parse(text)
		if err != nil {
			return r, usagef("--event-id: %q is not an event id: it is a UUID", text)
		}
		r.EventIDs = append(r.EventIDs, id)
	}
	for _, at := range []struct {
		flag, text string
		into       *time.Time
	}{{"from", f.from, &r.From}, {"to", f.to, &r.To}} {
		if at.text == "" {
			continue
		}
		parsed, err := time.Parse(time.RFC3339Nano, at.text)
		if err != nil {
			return r, usagef("--%s: %q is not a time such as 2026-11-23T18:00:00Z", at.flag, at.text)
		}
		*at.into = parsed
	}
	if err := r.Validate(); err != nil {
		return r, usagef("%s", asFlags(err))
	}
	return r.Defaults(), nil
}

var (
	// quotedField matches the name of a field, in backquotes, in the text of a fault.
	quotedField = regexp.MustCompile("`[A-Za-z_]+`")
	// wordStart matches the boundary between two words of a field's name in Go.
	wordStart = regexp.MustCompile("([a-z])([A-Z])")
)

// flagOf returns the flag that sets a field: a field of a request, named as in JSON, or of the janitor's configuration,
// named as in Go. The name may be in backquotes.
func flagOf(field string) string {
	name := wordStart.ReplaceAllString(strings.Trim(field, "`"), "${1}_${2}")
	name = strings.ReplaceAll(strings.ToLower(name), "_", "-")
	switch name {
	case "event-ids":
		name = "event-id"
	case "target":
		name = "export"
	}
	return "--" + name
}

// asFlags returns the field errors that err joins or wraps as a text, one a line, with the names of flags in the
// place of fields. The text is empty when err has no field error.
func asFlags(err error) string {
	var lines []string
	var walk func(err error)
	walk = func(err error) {
		if all, ok := err.(interface{ Unwrap() []error }); ok {
			for _, one := range all.Unwrap() {
				walk(one)
			}
			return
		}
		var field, problem string
		switch fault := err.(type) { //nolint:errorlint // taken apart, not compared
		case *redrive.FieldError:
			field, problem = fault.Field, fault.Problem
		case *janitor.FieldError:
			field, problem = fault.Field, fault.Problem
			if fault.Bound != "" {
				problem += " (" + flagOf(fault.Bound) + ")"
			}
		default:
			if inner := errors.Unwrap(err); inner != nil {
				walk(inner)
			}
			return
		}
		lines = append(lines, flagOf(field)+": "+quotedField.ReplaceAllStringFunc(problem, flagOf))
	}
	walk(err)
	return strings.Join(lines, "\n")
}
