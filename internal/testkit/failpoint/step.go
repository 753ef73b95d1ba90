package failpoint

import (
	"context"
	"slices"
)

// Step is a moment in a relay's work.
type Step string

// The steps, in the order of a relay's life. At a step "before", the database or destination has not been asked
// yet. At any other step it has done what was asked, and the relay has not seen the answer, unless the step
// says otherwise.
const (
	BeforeJoin Step = "before_join"
	Joined     Step = "joined"
	// LeaseTaken: a renewal gave the relay shards that it did not own.
	LeaseTaken  Step = "lease_taken"
	BeforeRenew Step = "before_renew"
	Renewed     Step = "renewed"
	BeforeFetch Step = "before_fetch"
	// Fetched: at least one event was read.
	Fetched    Step = "fetched"
	BeforeSend Step = "before_send"
	// Sent: the request has left the process, and there is no answer. Only HTTP
	// clients that heed [net/http/httptrace] come here.
	Sent Step = "sent"
	// Answered: the destination has accepted at least one message.
	Answered Step = "answered"
	// Accepted: the relay has seen the acceptance a millisecond ago.
	Accepted     Step = "accepted"
	BeforeSettle Step = "before_settle"
	Settled      Step = "settled"
	// Marked: the relay has seen the answer to a settlement a millisecond ago.
	Marked Step = "marked"
	// BeforeHandOver and HandedOver: a renewal that gives shards back while the
	// relay owns others.
	BeforeHandOver Step = "before_hand_over"
	HandedOver     Step = "handed_over"
	BeforeLeave    Step = "before_leave"
	Left           Step = "left"
)

// Steps returns all steps in their order.
func Steps() []Step {
	return []Step{
		BeforeJoin, Joined, LeaseTaken, BeforeRenew, Renewed, BeforeFetch, Fetched, BeforeSend, Sent, Answered, Accepted,
		BeforeSettle, Settled, Marked, BeforeHandOver, HandedOver, BeforeLeave, Left,
	}
}

// IsCall reports whether an error from the hook fails a call of the relay at this step.
func (s Step) IsCall() bool { return s != Accepted && s != Marked }

// known reports whether s is one of Steps.
func (s Step) known() bool { return slices.Contains(Steps(), s) }

// Hook is what the wrapped ports of a relay call at each [Step].
type Hook interface {
	// At is called at each step, from the goroutine of the call, and may be called concurrently. An error fails
	// the call: at a step "before" the call is then never made, at the others its answer is lost. ctx ends when
	// the call's time is over; At may block until then.
	At(ctx context.Context, s Step) error
	// Unknown is called before Publish returns with messages of an unknown outcome, with the deduplication ids
	// of those messages, which the relay sends again.
	Unknown(ids []string)
}
