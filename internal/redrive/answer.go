package redrive

import (
	"slices"
	"strings"
)

// MaxExamples is the most ids that an answer names for one reason.
const MaxExamples = 5

// Answer is what became of a request. Counts are of events, and of this run
// only.
type Answer struct {
	Action Action `json:"action"`
	Source Source `json:"source,omitempty"`
	DryRun bool   `json:"dry_run,omitempty"`
	// Queue is the name of the dead-letter queue, and SendTo that of the queue
	// that its messages go to, as both were found. For SourceDLQ only.
	Queue  string `json:"queue,omitempty"`
	SendTo string `json:"send_to,omitempty"`

	// Redriven is how many were brought back. From a queue: accepted by the
	// destination. From the outbox: pending again.
	Redriven int `json:"redriven"`
	// Released is how many aggregates were taken off hold on request. Those
	// that a redriven dead letter releases are not counted.
	Released int `json:"released,omitempty"`
	// Matched is, in a dry run, how many would be brought back.
	Matched int `json:"matched,omitempty"`
	// Skipped is how many the filters left out.
	Skipped int `json:"skipped"`
	// Unconfirmed is how many were left because they would break the order of
	// their aggregate and the request does not confirm that.
	Unconfirmed int `json:"unconfirmed"`
	// OutOfOrder is how many of Redriven are known to be behind later events of
	// their aggregate, or ahead of earlier ones. Only a confirmed request has
	// any.
	OutOfOrder int `json:"out_of_order"`
	// Failed is how many could not be brought back, by reason in Failures. They
	// are where they were.
	Failed   int       `json:"failed"`
	Failures []Failure `json:"failures,omitempty"`
	// GroupsStopped is how many groups, or aggregates, ended with a failure.
	// What is behind it in the group was left where it is.
	GroupsStopped int `json:"groups_stopped"`
	// Duplicates is how many of Redriven may be delivered twice, because their
	// copy in the dead-letter queue could not be deleted.
	Duplicates int `json:"duplicates,omitempty"`
	// Unseen is about how many messages of a queue could not be looked at,
	// because those before them in their group do not match or failed.
	Unseen int `json:"unseen,omitempty"`

	// Hidden is about how many messages of a queue somebody else has received:
	// another run, or one that was killed.
	Hidden int `json:"hidden,omitempty"`

	// More is true when the run ended before everything was looked at, or when messages
	// are hidden: send the request again, with Token when there is one.
	More  bool   `json:"more"`
	Token string `json:"token,omitempty"`
	// Stopped says why a run ended early.
	Stopped Stop `json:"stopped,omitempty"`
	// Problem is the error that stopped the run.
	Problem string `json:"problem,omitempty"`
	// Notes say what to know about this answer, above all about order.
	Notes []string `json:"notes,omitempty"`
	// Seconds is how long the run took.
	Seconds float64 `json:"seconds"`
}

// Stop is the reason for which a run ended early.
type Stop string

// The reasons.
const (
	// StopTime: the time of the run was used up.
	StopTime Stop = "time"
	// StopLimit: as many were brought back as the request allows.
	StopLimit Stop = "limit"
	// StopCanceled: the run was canceled from outside.
	StopCanceled Stop = "canceled"
	// StopUnavailable: the source or the destination refuses everything.
	StopUnavailable Stop = "unavailable"
	// StopTooManyHidden: the run keeps as many messages hidden as it may, because they
	// do not pass the filters or stand behind a failure.
	StopTooManyHidden Stop = "too_many_hidden"
)

// Failure is one reason for which events could not be brought back.
type Failure struct {
	// Reason is a code, such as "MessageTooLong".
	Reason string `json:"reason"`
	// Text is the first error of that reason, for people.
	Text string `json:"text"`
	// Count is the number of events.
	Count int `json:"count"`
	// Examples are ids of up to MaxExamples of them: event ids, and message ids
	// of what has none.
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
