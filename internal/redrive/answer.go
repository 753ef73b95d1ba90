package redrive

import (
	"slices"
	"strings"
)

// MaxExamples is the most ids that an answer names for one reason.
const MaxExamples = 5

// Answer is what a run did for a request. Its counts are of events, unless their
// comment says otherwise, and of this run only.
type Answer struct {
	Action Action `json:"action"`
	Source Source `json:"source,omitempty"`
	DryRun bool   `json:"dry_run,omitempty"`
	// Queue is the name of the dead-letter queue, and SendTo that of the queue
	// that its messages go to, as both were found. For SourceDLQ only.
	Queue  string `json:"queue,omitempty"`
	SendTo string `json:"send_to,omitempty"`

	// Redriven is how many were brought back. From a queue: accepted by the queue
	// that they were sent to. From the outbox: pending again. A dry run has none.
	Redriven int `json:"redriven"`
	// Released is how many aggregates were released for SourceBlocked. Those that
	// are released because their dead letter was redriven for SourceDeadLetters
	// are not counted.
	Released int `json:"released,omitempty"`
	// Matched is how many a dry run would have brought back. For SourceBlocked it
	// counts aggregates.
	Matched int `json:"matched,omitempty"`
	// Skipped is how many the filters left out.
	Skipped int `json:"skipped"`
	// Unconfirmed is how many were not brought back because that would break the
	// order of their aggregate, and the request has no Confirm.
	Unconfirmed int `json:"unconfirmed"`
	// OutOfOrder is how many of Redriven are known to come after later events of
	// their aggregate, or ahead of earlier ones. Only a request with Confirm has
	// any.
	OutOfOrder int `json:"out_of_order"`
	// Failed is how many could not be brought back. They are where they were.
	// Failures has them by reason.
	Failed   int       `json:"failed"`
	Failures []Failure `json:"failures,omitempty"`
	// GroupsStopped is how many groups of a queue, or aggregates, had a failure.
	// What comes after the failure in the group stayed where it was.
	GroupsStopped int `json:"groups_stopped"`
	// Duplicates is how many of Redriven may be delivered twice, because they were
	// sent but could not be deleted from the dead-letter queue.
	Duplicates int `json:"duplicates,omitempty"`
	// Unseen is how many could not be looked at because an earlier one of their
	// group or aggregate was not brought back. For a queue it is about right.
	Unseen int `json:"unseen,omitempty"`
	// Hidden is about how many messages of a queue are hidden by another receiver:
	// a consumer, another run, or one that was killed.
	Hidden int `json:"hidden,omitempty"`

	// More is true when the run ended before everything was looked at, or when
	// Hidden is not zero: the same request goes on, with Token when there is one.
	More bool `json:"more"`
	// Token goes into the next request where More is true.
	Token string `json:"token,omitempty"`
	// Stopped is why the run ended early. It is empty when it did not.
	Stopped Stop `json:"stopped,omitempty"`
	// Problem is the text of the error that ended the run, if one did.
	Problem string `json:"problem,omitempty"`
	// Notes explain this answer to a person, above all what it means for order.
	Notes []string `json:"notes,omitempty"`
	// Seconds is how long the run took.
	Seconds float64 `json:"seconds"`
}

// Stop is why a run ended early.
type Stop string

// The reasons.
const (
	// StopTime: the time of the run was used up.
	StopTime Stop = "time"
	// StopLimit: as many were brought back as the request allows.
	StopLimit Stop = "limit"
	// StopCanceled: the run was canceled from outside.
	StopCanceled Stop = "canceled"
	// StopUnavailable: the database, the dead-letter queue or the queue to send to
	// refuses everything.
	StopUnavailable Stop = "unavailable"
	// StopTooManyHidden: the run keeps as many messages hidden as it may, because they
	// do not pass the filters or stand behind a failure.
	StopTooManyHidden Stop = "too_many_hidden"
)

// Failure is one reason for which events could not be brought back.
type Failure struct {
	// Reason is a code, such as "MessageTooLong": the broker's or the engine's.
	Reason string `json:"reason"`
	// Text is the first error of that reason, for people.
	Text string `json:"text"`
	// Count is the number of events.
	Count int `json:"count"`
	// Examples are the ids of up to MaxExamples of the events: event ids, or
	// message ids where a message names no event.
	Examples []string `json:"examples"`
}

// Fail counts a failure of the event under its reason. Failures stay sorted by
// reason. It is not safe for concurrent use.
func (a *Answer) Fail(reason, text, id string) {
	a.Failed++
	at, found := slices.BinarySearchFunc(a.Failures, reason, func(f Failure, r string) int { return strings.Compare(f.Reason, r) })
	if !found {
		a.Failures = slices.Insert(a.Failures, at, Failure{Reason: reason, Text: text})
	}
	f := &a.Failures[at]
	f.Count++
	if len(f.Examples) < MaxExamples {
		f.Examples = append(f.Examples, id)
	}
}
