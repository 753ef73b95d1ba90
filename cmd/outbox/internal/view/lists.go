package view

import (
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/serverless-outbox/serverless-outbox/internal/pgadmin"
)

// ListJSON writes a list as a JSON array. A nil list is written as [].
func ListJSON[T any](w io.Writer, list []T) error {
	if list == nil {
		list = []T{}
	}
	return JSON(w, list)
}

// DeadLettersText writes a table of dead letters as text for people. With more it says that the list is not complete.
// Ages are those at the time now.
func DeadLettersText(w io.Writer, style Style, list []pgadmin.DeadLetter, more bool, now time.Time) error {
	p := &printer{w: w}
	rows := make([][]cell, 0, len(list))
	for i := range list {
		d := &list[i]
		aggregate := cell{text: "-"}
		if d.Blocks {
			aggregate = cell{text: "blocked", shade: red}
		}
		rows = append(rows, []cell{
			{text: strconv.FormatInt(d.ID, 10)},
			{text: d.EventID.String()},
			{text: Printable(d.Destination)},
			{text: Printable(d.AggregateType) + " " + Printable(d.AggregateID)},
			{text: Printable(d.EventType)},
			{text: Duration(max(0, now.Sub(d.DeadAt)))},
			aggregate,
			{text: Printable(d.Code), shade: red},
		})
	}
	if len(list) == 0 {
		p.line("no dead letters")
	} else {
		style.table(p, []column{
			{"ID", true}, {"EVENT", false}, {"DESTINATION", false}, {"AGGREGATE", false}, {"TYPE", false}, {"DEAD FOR", true}, {"AGGREGATE IS", false}, {"CODE", false},
		}, rows)
	}
	if more {
		p.line(style.paint(yellow, "there are more: add --id-from "+strconv.FormatInt(list[len(list)-1].ID+1, 10)))
	}
	return p.failed()
}

// DeadLettersDetail writes all that is known about dead letters, with payload and headers, as text for people. Ages
// are those at the time now.
func DeadLettersDetail(w io.Writer, style Style, list []pgadmin.DeadLetter, now time.Time) error {
	p := &printer{w: w}
	for i := range list {
		d := &list[i]
		if i > 0 {
			p.line()
		}
		field := func(name, value string) {
			p.line(style.paint(faint, fmt.Sprintf("%-17s", name)), value)
		}
		p.line(style.paint(bold, "dead letter "+d.EventID.String()))
		field("event type", Printable(d.EventType))
		field("aggregate", Printable(d.AggregateType)+" "+Printable(d.AggregateID))
		field("destination", Printable(d.Destination))
		field("id", strconv.FormatInt(d.ID, 10))
		field("created", ago(d.CreatedAt, now))
		field("dead", ago(d.DeadAt, now))
		field("attempts", strconv.Itoa(d.Attempts))
		field("code", style.paint(red, Printable(d.Code)))
		field("reason", Printable(d.Reason))
		if d.Blocks {
			field("aggregate is", style.paint(red, "blocked behind it"))
		}
		if len(d.Headers) > 0 {
			field("headers", Printable(string(d.Headers)))
		}
		field("payload", Printable(d.Payload))
	}
	return p.failed()
}

// BlockedText writes a table of blocked lanes as text for people. With more it says that the list is not
// complete. Ages are those at the time now.
func BlockedText(w io.Writer, style Style, list []pgadmin.BlockedLane, more bool, now time.Time) error {
	p := &printer{w: w}
	rows := make([][]cell, 0, len(list))
	for i := range list {
		b := &list[i]
		state := cell{text: "blocked", shade: red}
		switch {
		case b.ReleasedAt != nil:
			state = cell{text: "released", shade: green}
		case !b.DeadLetter:
			state = cell{text: "blocked, its dead letter is gone", shade: yellow}
		}
		rows = append(rows, []cell{
			{text: Printable(b.Destination)},
			{text: Printable(b.AggregateType) + " " + Printable(b.AggregateID)},
			state,
			{text: Duration(max(0, now.Sub(b.BlockedAt)))},
			{text: Count(int64(b.Waiting))},
			{text: b.EventID.String()},
			{text: Printable(b.Reason)},
		})
	}
	if len(list) == 0 {
		p.line("no blocked aggregates")
	} else {
		style.table(p, []column{
			{"DESTINATION", false}, {"AGGREGATE", false}, {"STATE", false}, {"FOR", true}, {"WAITING", true}, {"DEAD LETTER", false}, {"REASON", false},
		}, rows)
	}
	if more {
		p.line(style.paint(yellow, "there are more: raise --limit"))
	}
	return p.failed()
}

// DLQRedrivesText writes a table of runs over dead-letter queues as text for people. With more it says that the list is
// not complete. Ages are those at the time now.
func DLQRedrivesText(w io.Writer, style Style, list []pgadmin.DLQRedrive, more bool, now time.Time) error {
	p := &printer{w: w}
	rows := make([][]cell, 0, len(list))
	for i := range list {
		d := &list[i]
		redriven, failed, state := cell{text: "-"}, cell{text: "-"}, cell{text: "not ended", shade: yellow}
		if d.Answer != nil {
			redriven, failed, state = cell{text: Count(int64(d.Answer.Redriven))}, cell{text: Count(int64(d.Answer.Failed))}, cell{text: "ended"}
			if d.Answer.Stopped != "" {
				state = cell{text: "stopped: " + Printable(string(d.Answer.Stopped)), shade: yellow}
			}
		}
		rows = append(rows, []cell{
			{text: strconv.FormatInt(d.ID, 10)},
			{text: Duration(max(0, now.Sub(d.StartedAt)))},
			{text: Printable(d.Login)},
			{text: Printable(d.RequestID)},
			{text: Printable(d.Queue)},
			{text: Printable(d.SendTo)},
			redriven,
			failed,
			state,
		})
	}
	if len(list) == 0 {
		p.line("no redrives of dead-letter queues")
	} else {
		style.table(p, []column{
			{"ID", true}, {"BEGAN AGO", true}, {"LOGIN", false}, {"REQUEST", false}, {"QUEUE", false}, {"SENT TO", false}, {"REDRIVEN", true}, {"FAILED", true}, {"RUN IS", false},
		}, rows)
	}
	if more {
		p.line(style.paint(yellow, "there are more: raise --limit"))
	}
	return p.failed()
}
