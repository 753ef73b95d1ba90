package view

import (
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/serverless-outbox/serverless-outbox/internal/pgadmin"
)

// ListJSON writes a list as JSON, an empty one as [].
func ListJSON[T any](w io.Writer, list []T) error {
	if list == nil {
		list = []T{}
	}
	return writeJSON(w, list)
}

// DeadText lists dead letters for people. more says that there are others.
func DeadText(w io.Writer, style Style, list []pgadmin.DeadLetter, more bool, now time.Time) error {
	p := &printer{w: w}
	rows := make([][]cell, 0, len(list))
	for i := range list {
		d := &list[i]
		holds := cell{text: "-"}
		if d.Blocks {
			holds = cell{text: "on hold", shade: red}
		}
		rows = append(rows, []cell{
			{text: strconv.FormatInt(d.ID, 10)},
			{text: d.EventID.String()},
			{text: Printable(d.Destination)},
			{text: Printable(d.AggregateType) + " " + Printable(d.AggregateID)},
			{text: Printable(d.EventType)},
			{text: Duration(max(0, now.Sub(d.DeadAt)))},
			holds,
			{text: Printable(d.Code), shade: red},
		})
	}
	if len(list) == 0 {
		p.line("no dead events")
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

// DeadDetail writes dead letters with payload and headers, for people.
func DeadDetail(w io.Writer, style Style, list []pgadmin.DeadLetter, now time.Time) error {
	p := &printer{w: w}
	for i := range list {
		d := &list[i]
		if i > 0 {
			p.line()
		}
		field := func(name, value string) {
			p.line(style.paint(faint, fmt.Sprintf("%-17s", name)), value)
		}
		p.line(style.paint(bold, "dead event "+d.EventID.String()))
		field("event type", Printable(d.EventType))
		field("aggregate", Printable(d.AggregateType)+" "+Printable(d.AggregateID))
		field("destination", Printable(d.Destination))
		field("id", strconv.FormatInt(d.ID, 10))
		field("created", moment(d.CreatedAt)+" ("+Duration(max(0, now.Sub(d.CreatedAt)))+" ago)")
		field("dead", moment(d.DeadAt)+" ("+Duration(max(0, now.Sub(d.DeadAt)))+" ago)")
		field("attempts", strconv.Itoa(d.Attempts))
		field("code", style.paint(red, Printable(d.Code)))
		field("reason", Printable(d.Reason))
		if d.Blocks {
			field("aggregate is", style.paint(red, "on hold for it"))
		}
		if len(d.Headers) > 0 {
			field("headers", Printable(string(d.Headers)))
		}
		field("payload", Printable(d.Payload))
	}
	return p.failed()
}

// BlockedText lists lanes on hold for people. more says that there are others.
func BlockedText(w io.Writer, style Style, list []pgadmin.BlockedLane, more bool, now time.Time) error {
	p := &printer{w: w}
	rows := make([][]cell, 0, len(list))
	for i := range list {
		b := &list[i]
		state := cell{text: "on hold", shade: red}
		switch {
		case b.ReleasedAt != nil:
			state = cell{text: "released", shade: green}
		case !b.DeadLetter:
			state = cell{text: "on hold, its dead event is gone", shade: yellow}
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
		p.line("no aggregates on hold")
	} else {
		style.table(p, []column{
			{"DESTINATION", false}, {"AGGREGATE", false}, {"STATE", false}, {"FOR", true}, {"WAITING", true}, {"DEAD EVENT", false}, {"REASON", false},
		}, rows)
	}
	if more {
		p.line(style.paint(yellow, "there are more: raise --limit"))
	}
	return p.failed()
}
