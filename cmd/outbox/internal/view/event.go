package view

import (
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/serverless-outbox/serverless-outbox/internal/pgadmin"
)

// NotFoundJSON writes a JSON object with the event id and the state not_found, for an event that no table has.
func NotFoundJSON(w io.Writer, id uuid.UUID) error {
	return JSON(w, struct {
		State   string    `json:"state"`
		EventID uuid.UUID `json:"event_id"`
	}{"not_found", id})
}

// EventText writes the state of an event and its history as text for people. Ages are those at the time now. Its
// only error is that of w.
func EventText(w io.Writer, style Style, l *pgadmin.Location, now time.Time) error {
	p := &printer{w: w}
	field := func(name, value string) {
		if value != "" {
			p.line(style.paint(faint, fmt.Sprintf("%-17s", name)), value)
		}
	}
	at := func(name string, t *time.Time) {
		if t != nil {
			field(name, ago(*t, now))
		}
	}
	p.line(style.paint(bold, "event "+l.EventID.String()))
	field("state", style.paint(stateShade(l.State), string(l.State))+explain(l))
	field("event type", Printable(l.EventType))
	field("aggregate", Printable(l.AggregateType)+" "+Printable(l.AggregateID))
	field("destination", Printable(l.Destination))
	field("id", strconv.FormatInt(l.ID, 10))
	field("shard", strconv.Itoa(l.Shard)+ownedBy(l))
	if l.Replays > 0 {
		field("replays", strconv.Itoa(l.Replays))
	}
	if l.ReplayOf != 0 {
		field("replay of", "row "+strconv.FormatInt(l.ReplayOf, 10))
	}
	if l.DuplicateOf != 0 {
		field("swallowed", "the broker dropped it as a duplicate of row "+strconv.FormatInt(l.DuplicateOf, 10)+", which has the same event id")
	}
	at("created", &l.CreatedAt)
	at("sent", l.SentAt)
	field("message id", Printable(l.MessageID))
	field("sequence number", Printable(l.SequenceNumber))
	at("dead", l.DeadAt)
	if l.State == pgadmin.Dead || l.State == pgadmin.Deleted {
		field("attempts", strconv.Itoa(l.Attempts))
	}
	field("code", Printable(l.Code))
	field("reason", Printable(l.Reason))
	if l.BlockedBy != nil {
		field("blocked by", "event "+l.BlockedBy.String())
	}
	field("block reason", Printable(l.BlockReason))
	at("released", l.ReleasedAt)
	at("deleted", l.DeletedAt)
	for i := range l.Redrives {
		field("redriven", redriven(&l.Redrives[i], now))
	}
	for i := range l.Others {
		o := &l.Others[i]
		field("also", "row "+strconv.FormatInt(o.ID, 10)+" "+style.paint(stateShade(o.State), string(o.State))+explain(o))
	}
	return p.failed()
}

// redriven returns a line about one entry in the history of an event. Its age is that at the time now.
func redriven(r *pgadmin.Redriven, now time.Time) string {
	text := ago(r.RedrivenAt, now) + " from " + Printable(r.Source) +
		" as generation " + strconv.Itoa(r.Generation) + " to " + Printable(r.Destination)
	if r.CopyID != 0 {
		text += ", row " + strconv.FormatInt(r.RowID, 10) + " copied to row " + strconv.FormatInt(r.CopyID, 10)
	}
	if r.RequestID != "" {
		text += ", request " + Printable(r.RequestID)
	}
	if r.Code != "" {
		text += ", buried with " + Printable(r.Code)
	}
	return text
}

// stateShade returns the colour in which the state of an event is shown.
func stateShade(s pgadmin.State) shade {
	switch s {
	case pgadmin.Sent, pgadmin.Archived:
		return green
	case pgadmin.Pending:
		return yellow
	case pgadmin.Dead, pgadmin.Blocked, pgadmin.Deleted:
		return red
	}
	return plain
}

// explain returns what the state of an event means, as the end of a line.
func explain(l *pgadmin.Location) string {
	switch l.State {
	case pgadmin.Pending:
		return ": waits for its turn"
	case pgadmin.Blocked:
		if l.ReleasedAt != nil {
			return ": its aggregate was released and goes on when a relay sees it"
		}
		return ": its aggregate is blocked behind a dead letter"
	case pgadmin.Sent:
		return ": its destination accepted it"
	case pgadmin.Archived:
		return ": sent, and moved out of the hot table"
	case pgadmin.Dead:
		return ": it cannot be published as it is"
	case pgadmin.Deleted:
		return ": never sent, and its dead letter was deleted when its retention was over"
	}
	return ""
}

// ownedBy returns which relay owns the shard of an unsent event, as the end of a line. It is empty for other events.
func ownedBy(l *pgadmin.Location) string {
	if l.State != pgadmin.Pending && l.State != pgadmin.Blocked {
		return ""
	}
	if l.Owner == "" {
		return ", owned by no relay: see outbox status"
	}
	return ", owned by relay " + Printable(l.Owner)
}
