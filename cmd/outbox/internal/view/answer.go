package view

import (
	"io"
	"strconv"
	"strings"

	"github.com/serverless-outbox/serverless-outbox/internal/redrive"
)

// AnswerText writes the answer of a redrive or a replay as text for people. Its only error is that of w.
func AnswerText(w io.Writer, style Style, a *redrive.Answer) error {
	p := &printer{w: w}
	done := plural(int64(a.Redriven), "event", "events") + " brought back"
	switch {
	case a.DryRun && a.Source == redrive.SourceBlocked:
		done = plural(int64(a.Matched), "aggregate", "aggregates") + " would be released (dry run)"
	case a.DryRun:
		done = plural(int64(a.Matched), "event", "events") + " would be brought back (dry run)"
	case a.Action == redrive.ActionReplay:
		done = plural(int64(a.Redriven), "event", "events") + " to be sent again"
	}
	p.line(style.paint(bold, done), " in ", strconv.FormatFloat(a.Seconds, 'f', 1, 64), " s")
	if a.Queue != "" {
		p.line("from ", Printable(a.Queue), " to ", Printable(a.SendTo))
	}
	left := [2]string{"event left: it would break order, see --confirm", "events left: they would break order, see --confirm"}
	if a.Source == redrive.SourceBlocked {
		left = [2]string{"aggregate left: its dead letter is gone, see --confirm", "aggregates left: their dead letters are gone, see --confirm"}
	}
	for _, n := range []struct {
		n         int
		one, many string
		shade     shade
	}{
		{a.Released, "aggregate released", "aggregates released", plain},
		{a.OutOfOrder, "event out of order", "events out of order", yellow},
		{a.Unconfirmed, left[0], left[1], yellow},
		{a.Failed, "event failed", "events failed", red},
		{a.GroupsStopped, "aggregate stopped at a failure", "aggregates stopped at a failure", red},
		{a.Skipped, "event passed over by the filters", "events passed over by the filters", plain},
		{a.Unseen, "event not looked at", "events not looked at", plain},
		{a.Duplicates, "event that may arrive twice", "events that may arrive twice", yellow},
	} {
		if n.n > 0 {
			p.line(style.paint(n.shade, plural(int64(n.n), n.one, n.many)))
		}
	}
	for _, f := range a.Failures {
		examples := make([]string, 0, len(f.Examples))
		for _, id := range f.Examples {
			examples = append(examples, Printable(id))
		}
		p.line(style.paint(red, Printable(f.Reason)), ": ", Count(int64(f.Count)), ": ", Printable(f.Text), " (", strings.Join(examples, ", "), ")")
	}
	for _, note := range a.Notes {
		p.line("note: ", Printable(note))
	}
	if a.More {
		why := ""
		if a.Stopped != "" {
			why = " (" + string(a.Stopped) + ")"
		}
		how := "run it again"
		if a.Token != "" {
			how += " with --token " + Printable(a.Token)
		}
		p.line(style.paint(yellow, "there is more"+why+": "+how))
	}
	return p.failed()
}
