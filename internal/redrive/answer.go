package redrive

import (
	"slices"
	"strings"
)

// MaxExamples is the most ids that an answer has for one reason of failure.
const MaxExamples = 5

// Answer is what a run did for a request. Where a comment says nothing else, the numbers count events, and those of
// this run only.
type Answer struct {
	// Action, Source and DryRun are those of the request.
	Action Action `json:"action"`
	Source Source `json:"source,omitempty"`
	DryRun bool   `json:"dry_run,omitempty"`
	// Queue is the name of the dead-letter queue, and SendTo that of the queue to which its messages were sent. For
	// SourceDLQ only.
	Queue  string `json:"queue,omitempty"`
	SendTo string `json:"send_to,omitempty"`

	// Recorded says whether the database has a record of the run, in outbox.dlq_redrives. It is for SourceDLQ only, and
	// nil in a dry run. What other sources bring back is recorded event by event, in outbox.redrives.
	Recorded *bool `json:"recorded,omitempty"`

	// Redriven is how many events were brought back: for SourceDLQ, accepted by the queue SendTo; for the other
	// sources, pending in the outbox again; for a replay, copied. It is zero in a dry run. Events that are copied
	// or pending again are still to be sent by a relay.
	Redriven int `json:"redriven"`
	// Released is how many blocked lanes were released, for SourceBlocked only. Without Confirm the dead letter of a
	// lane was brought back too, and counts in Redriven. A redrive of SourceDeadLetters does not count the lanes that it
	// releases.
	Released int `json:"released,omitempty"`
	// Matched is how many events a dry run would have brought back. For SourceBlocked it counts lanes. For SourceDLQ
	// without filters it is the queue's own count of visible messages, which is approximate, or the limit if less.
	// For a replay it counts all events that pass the filters, whatever the limit, also those of too large aggregates.
	Matched int `json:"matched,omitempty"`
	// Skipped is how many received messages did not pass the filters. For SourceDLQ only: the database does not read
	// the others.
	Skipped int `json:"skipped"`
	// Unconfirmed is how many events were not brought back, because that would break the order of their aggregate or
	// send them to another destination, and the request has no Confirm. For SourceBlocked it is how many lanes stay
	// blocked, because the dead letter that they are blocked behind is gone.
	Unconfirmed int `json:"unconfirmed"`
	// OutOfOrder is how many of Redriven, or in a dry run of SourceDeadLetters how many of Matched, break the
	// order of their aggregate or go to another destination. Only a request with Confirm has any.
	OutOfOrder int `json:"out_of_order"`
	// Failed is how many events could not be brought back and are where they were. A replay does not try them again
	// under its token. Failures lists them by reason.
	Failed   int       `json:"failed"`
	Failures []Failure `json:"failures,omitempty"`
	// GroupsStopped is how many message groups (for SourceDLQ) or lanes were stopped by a failure, or by a sent
	// message that could not be deleted: their later events were not brought back. For a replay it is how many
	// aggregates had too many events to be copied.
	GroupsStopped int `json:"groups_stopped"`
	// Duplicates is how many of Redriven may be delivered twice, because they were sent and could not be deleted from
	// the dead-letter queue. For SourceDLQ only.
	Duplicates int `json:"duplicates,omitempty"`
	// Unseen is how many events were passed over because an earlier one of their lane was not brought back. For
	// SourceDLQ it is approximately how many messages the run could not receive, because an earlier one of their
	// group was not brought back, and zero when the run ended early. For a replay it is zero.
	Unseen int `json:"unseen,omitempty"`
	// Hidden is approximately how many messages of the dead-letter queue another receiver hides: a consumer, another
	// run, or a run that was killed. For SourceDLQ only, and zero when the run ended early or could not count them.
	Hidden int `json:"hidden,omitempty"`

	// More is true when the run ended early (Stopped is set), and when Hidden is not zero, except after a dry run
	// without filters. Then the same request goes on, with this Token when there is one.
	More bool `json:"more"`
	// Token is what [Request].Token of the next request must be so that it goes on. It is empty for SourceDLQ,
	// and at the end of a run unless More is true.
	Token string `json:"token,omitempty"`
	// Stopped is why the run ended early, empty when it looked at everything.
	Stopped Stop `json:"stopped,omitempty"`
	// Problem is the text of the error that ended the run early, empty when no error did.
	Problem string `json:"problem,omitempty"`
	// Notes explain the answer to a person, in particular what it means for order.
	Notes []string `json:"notes,omitempty"`
	// Seconds is how long the run took.
	Seconds float64 `json:"seconds"`
}

// Stop is why a run ended early, empty for a run that did not.
type Stop string

// The reasons.
const (
	// StopTime: the time of the run was used up.
	StopTime Stop = "time"
	// StopLimit: the run brought back, or in a dry run matched, as many events or lanes as the limit of the request
	// allows.
	StopLimit Stop = "limit"
	// StopCanceled: the context of the run ended.
	StopCanceled Stop = "canceled"
	// StopUnavailable: a call of the database failed, or Config.Attempts of package dlq (5 by default) receives in a row
	// failed, or as many batches in a row found the queue to send to unavailable.
	StopUnavailable Stop = "unavailable"
	// StopTooManyHidden: the run keeps as many messages of the dead-letter queue hidden as it may, because they do not
	// pass the filters or stand behind a failure.
	StopTooManyHidden Stop = "too_many_hidden"
)

// Failure is one reason for which events could not be brought back.
type Failure struct {
	// Reason is a code of the broker or of the engine, such as "MessageTooLong".
	Reason string `json:"reason"`
	// Text is the error of the first of these events, for people.
	Text string `json:"text"`
	// Count is how many events failed for the reason.
	Count int `json:"count"`
	// Examples are the ids of some of these events, at most MaxExamples: event ids, or the broker's message ids where
	// a message names no event.
	Examples []string `json:"examples"`
}

// Fail counts in Failed and Failures that n events failed for the reason, the first of which, or its message, has that
// id. Failures stay sorted by reason. It is not safe for concurrent use.
func (a *Answer) Fail(reason, text, id string, n int) {
	a.Failed += n
	at, found := slices.BinarySearchFunc(a.Failures, reason, func(f Failure, r string) int { return strings.Compare(f.Reason, r) })
	if !found {
		a.Failures = slices.Insert(a.Failures, at, Failure{Reason: reason, Text: text})
	}
	f := &a.Failures[at]
	f.Count += n
	if len(f.Examples) < MaxExamples {
		f.Examples = append(f.Examples, id)
	}
}
