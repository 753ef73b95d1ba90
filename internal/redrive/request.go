package redrive

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
)

// Action is the kind of a request.
type Action string

// The actions.
const (
	// ActionRedrive brings back events that were given up or blocked. It is the default.
	ActionRedrive Action = "redrive"
	// ActionReplay sends events again that were sent already.
	ActionReplay Action = "replay"
)

// Source is where the events of a redrive are.
type Source string

// The sources.
const (
	// SourceDLQ is a dead-letter queue of SQS, which belongs to a queue or to a subscription to a topic.
	SourceDLQ Source = "dlq"
	// SourceDeadLetters is the table outbox.dead_letters.
	SourceDeadLetters Source = "dead_letters"
	// SourceBlocked is the table outbox.blocked: lanes that wait behind a dead letter.
	SourceBlocked Source = "blocked"
)

// MaxEventIDs is the most ids that one request may name.
const MaxEventIDs = 10_000

// MaxText is the most bytes of each field of a request that may be any string.
const MaxText = 2048

// MinRate and MaxRate are the lowest and the highest Rate of a request that has one.
const (
	MinRate = 0.001
	MaxRate = 1_000_000
)

// Request says which events to bring back. The zero value is not valid, so that an empty request brings nothing back.
//
// The filters are the fields from EventIDs to IDTo. An event is brought back when it passes all filters that are
// set; a filter that is zero passes every event.
type Request struct {
	// Action is what to do. Defaults to ActionRedrive.
	Action Action `json:"action,omitempty"`
	// Source is where the events of a redrive are. It is required for ActionRedrive and refused for ActionReplay.
	Source Source `json:"source,omitempty"`

	// Queue is the dead-letter queue: its URL, ARN or name. It is required for SourceDLQ, unless the environment
	// variable OUTBOX_REDRIVE_QUEUE of the redrive function names one, and refused for all else.
	Queue string `json:"queue,omitempty"`
	// SendTo is the queue that the messages of Queue go to: its URL, ARN or name. For SourceDLQ only. When it is
	// empty, they go to the queue that failed, which the redrive policies of queues and subscriptions name.
	SendTo string `json:"send_to,omitempty"`
	// Redirect is the name of another outbox destination, to which the events go instead of their own; empty for
	// their own. For SourceDeadLetters, where it breaks order and so needs Confirm, and for ActionReplay.
	Redirect string `json:"redirect,omitempty"`

	// EventIDs are the events to bring back, at most MaxEventIDs; for SourceBlocked, the dead letters that block.
	EventIDs []uuid.UUID `json:"event_ids,omitempty"`
	// Destination is the name of the outbox destination of the events. Not for SourceDLQ: a message does not carry it.
	Destination string `json:"destination,omitempty"`
	// AggregateType is the type of the aggregates that the events belong to.
	AggregateType string `json:"aggregate_type,omitempty"`
	// AggregateID is the id of one aggregate. It needs AggregateType.
	AggregateID string `json:"aggregate_id,omitempty"`
	// EventType is the type of the events, such as order.placed.
	EventType string `json:"event_type,omitempty"`
	// From and To bound the column created_at, the time at which the event was written: at From or later, and
	// before To. A zero time is no bound. As JSON they are RFC 3339.
	From time.Time `json:"from,omitzero"`
	To   time.Time `json:"to,omitzero"`
	// IDFrom and IDTo are the lowest and the highest id of the event's row, which messages carry as the attribute
	// sequence; for SourceBlocked, of the lane's first dead letter (first_id in outbox.blocked). Zero is no bound. A
	// message without the attribute passes neither bound.
	IDFrom int64 `json:"id_from,omitempty"`
	IDTo   int64 `json:"id_to,omitempty"`

	// Limit is the most events (for SourceBlocked: lanes) to bring back in this run. A replay finishes the
	// aggregate that it copies, and may exceed it so. Zero is no limit.
	Limit int `json:"limit,omitempty"`
	// Rate is the most events (for SourceBlocked: lanes) to bring back per second, from MinRate to MaxRate. Zero
	// is no limit.
	Rate float64 `json:"rate,omitempty"`
	// DryRun is true for a run that brings nothing back and answers how many events, or for SourceBlocked lanes,
	// it would have. For SourceDLQ with filters, and for it alone, the run receives messages and shows them again,
	// which adds to their receive count.
	DryRun bool `json:"dry_run,omitempty"`
	// Confirm allows what breaks the order of an aggregate: to bring an event back although later events of its
	// aggregate were sent, although the filters leave out an earlier one, or to another destination (Redirect).
	// Without Confirm such an event stays where it is and is counted as unconfirmed. For SourceBlocked, Confirm
	// releases the lane and leaves the dead letter that blocks it where it is; a lane whose dead letter is gone is
	// released with Confirm only. It changes nothing for ActionReplay.
	Confirm bool `json:"confirm,omitempty"`
	// Token is the token in the answer of an earlier run with the same request. With it this run goes on where
	// the earlier one ended. The token of a replay is a UUID, under which the database keeps the filters of the
	// replay; a replay that has filters may choose a new UUID. Not for SourceDLQ, where the same request without
	// a token goes on.
	Token string `json:"token,omitempty"`
	// Interleave allows that events which are written during a replay come between the replayed events of their
	// aggregate. For ActionReplay only.
	Interleave bool `json:"interleave,omitempty"`
}

// Defaults returns the request with ActionRedrive in the place of an empty Action.
func (r Request) Defaults() Request {
	r.Action = cmp.Or(r.Action, ActionRedrive)
	return r
}

// Filtered reports whether any filter is set.
func (r *Request) Filtered() bool {
	return len(r.EventIDs) > 0 || r.Destination != "" || r.AggregateType != "" || r.AggregateID != "" || r.EventType != "" ||
		!r.From.IsZero() || !r.To.IsZero() || r.IDFrom != 0 || r.IDTo != 0
}

// Validate returns an error that joins every fault of the request, each a [*FieldError], or nil.
func (r *Request) Validate() error { return r.faults().join() }

// faults returns every fault of the values of the request.
func (r *Request) faults() faults {
	var f faults
	r.validateKind(&f)
	r.validateFilters(&f)
	if r.Limit < 0 {
		f.add("limit", "%d is negative", r.Limit)
	}
	if r.Rate != 0 && !(r.Rate >= MinRate && r.Rate <= MaxRate) {
		f.add("rate", "%v is not a number of events per second between %v and %v", r.Rate, MinRate, MaxRate)
	}
	for _, text := range r.texts() {
		if n := len(*text.value); n > MaxText {
			f.add(text.name, "has %d bytes: use at most %d", n, MaxText)
		}
	}
	return f
}

// text is a field of a request that may be any string: its name in JSON, and where its value is.
type text struct {
	name  string
	value *string
}

// texts returns the fields of r that may be any string of up to MaxText bytes.
func (r *Request) texts() []text {
	return []text{
		{"queue", &r.Queue},
		{"send_to", &r.SendTo},
		{"redirect", &r.Redirect},
		{"destination", &r.Destination},
		{"aggregate_type", &r.AggregateType},
		{"aggregate_id", &r.AggregateID},
		{"event_type", &r.EventType},
		{"token", &r.Token},
	}
}

// validateKind adds to f a fault for an unknown action or source, for each field but Confirm that has no meaning for
// the action and the source, for a missing source, and for a replay without filter and token.
func (r *Request) validateKind(f *faults) {
	switch r.Defaults().Action {
	case ActionRedrive:
		switch r.Source {
		case SourceDLQ:
			if r.Token != "" {
				f.add("token", "has no meaning for the source dlq: run the same request again to go on")
			}
			if r.Destination != "" {
				f.add("destination", "has no meaning for the source dlq, whose messages do not name their outbox destination: use `send_to` for the queue to send to")
			}
		case SourceDeadLetters, SourceBlocked:
			r.validateNoQueue(f)
		case "":
			f.add("source", "is missing: use dlq, dead_letters or blocked")
		default:
			f.add("source", "%q is not dlq, dead_letters or blocked", r.Source)
		}
		if r.Interleave {
			f.add("interleave", "has a meaning for the action replay only")
		}
		if r.Redirect != "" && r.Source != SourceDeadLetters {
			f.add("redirect", "has a meaning for the source dead_letters and the action replay only")
		}
	case ActionReplay:
		if r.Source != "" {
			f.add("source", "has no meaning for the action replay: leave it out")
		}
		r.validateNoQueue(f)
		if !r.Filtered() && r.Token == "" {
			f.add("action", "a replay needs a filter: name `event_ids`, an aggregate, an `event_type`, a `destination` or a range")
		}
	default:
		f.add("action", "%q is neither redrive nor replay", r.Action)
	}
}

// validateNoQueue adds to f a fault for each of Queue and SendTo that is set, since they have a meaning for
// SourceDLQ only.
func (r *Request) validateNoQueue(f *faults) {
	if r.Queue != "" {
		f.add("queue", "has a meaning for the source dlq only")
	}
	if r.SendTo != "" {
		f.add("send_to", "has a meaning for the source dlq only: use `destination` to pick events by their outbox destination, and `redirect` to send them to another one")
	}
}

// validateFilters adds to f a fault for each filter that no event could pass, for more than MaxEventIDs ids, and
// for an aggregate id without its type.
func (r *Request) validateFilters(f *faults) {
	if n := len(r.EventIDs); n > MaxEventIDs {
		f.add("event_ids", "has %d ids: use at most %d", n, MaxEventIDs)
	}
	if slices.Contains(r.EventIDs, uuid.Nil) {
		f.add("event_ids", "has an id that is zero")
	}
	if r.AggregateID != "" && r.AggregateType == "" {
		f.add("aggregate_type", "is missing: an `aggregate_id` needs one")
	}
	if !r.From.IsZero() && !r.To.IsZero() && !r.From.Before(r.To) {
		f.add("to", "is not after `from`")
	}
	if r.IDFrom < 0 {
		f.add("id_from", "%d is negative", r.IDFrom)
	}
	if r.IDTo < 0 {
		f.add("id_to", "%d is negative", r.IDTo)
	}
	if r.IDTo > 0 && r.IDFrom > r.IDTo {
		f.add("id_to", "%d is less than `id_from`", r.IDTo)
	}
}

// FieldError is a fault of one field of a request.
type FieldError struct {
	// Field is the field's name in JSON.
	Field string
	// Problem says what is wrong and what would be right. It has the names of other fields in backquotes, so that the
	// command line can put its flags in their place.
	Problem string
}

// Error implements error.
func (e *FieldError) Error() string { return e.Field + ": " + e.Problem }

// faults are the faults of a request in the order in which they were found.
type faults []*FieldError

// add appends a FieldError for the field with that name in JSON, whose Problem is format with args.
func (f *faults) add(field, format string, args ...any) {
	*f = append(*f, &FieldError{Field: field, Problem: fmt.Sprintf(format, args...)})
}

// names reports whether f has a fault of the field with that name in JSON.
func (f faults) names(field string) bool {
	return slices.ContainsFunc(f, func(fault *FieldError) bool { return fault.Field == field })
}

// join returns an error that joins all faults, or nil when there are none.
func (f faults) join() error {
	if len(f) == 0 {
		return nil
	}
	all := make([]error, len(f))
	for i, fault := range f {
		all[i] = fault
	}
	return fmt.Errorf("request:\n%w", errors.Join(all...))
}
