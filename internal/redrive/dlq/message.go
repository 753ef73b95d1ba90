package dlq

import (
	"slices"
	"time"
)

// message is a received message, and what the run knows about it.
type message struct {
	Received
	id identity
	// order numbers the messages of the run as they were first received, from 1 on.
	order int
	// hiddenUntil is the earliest time at which the message may appear in the queue again. The message's receipt is
	// valid until then.
	hiddenUntil time.Time
	// out is what is sent for the message. It is the zero value until the run has decided to send the message.
	out Outgoing
	// attempts counts the sends that were not accepted, and faults those of them that may be the message's fault: not
	// where the target throttled or was unavailable. At Config.Attempts faults the message fails.
	attempts int
	faults   int
	// overtakes is true when the message is sent, by Confirm, although an earlier one of its group did not pass
	// the filters.
	overtakes bool
}

// timeLeft returns for how long the receipt is certainly valid. It measures by the wall clock and by the monotonic
// clock and returns the smaller result, because either clock may stand still while the process is frozen.
func (m *message) timeLeft() time.Duration {
	now := time.Now()
	return min(m.hiddenUntil.Sub(now), m.hiddenUntil.Round(0).Sub(now.Round(0)))
}

// line is the messages of one group that one receiver has gathered to send, in their order. Only its first message is
// sent; when that one is deleted, it leaves the line, and the next one is the first.
type line struct {
	group    *group
	messages []*message
	// notBefore is when the first message may be sent again after a failure, zero before the first failure.
	notBefore time.Time
}

// empty reports whether the line has no message left.
func empty(l *line) bool { return len(l.messages) == 0 }

// group is what a run knows of a message group.
type group struct {
	// kept are the messages of the group that the run keeps hidden.
	kept []*message
	// stopped is true when a message of the group failed, or was sent and could not be deleted: the run sends no
	// more of the group.
	stopped bool
	// skipped is true when a message of the group did not pass the filters.
	skipped bool
}

// find returns the message with the broker's messageID among g.kept, or nil.
func (g *group) find(messageID string) *message {
	at := slices.IndexFunc(g.kept, func(m *message) bool { return m.MessageID == messageID })
	if at < 0 {
		return nil
	}
	return g.kept[at]
}

// receipts returns the receipts of the messages, in their order.
func receipts(messages []*message) []string {
	all := make([]string, len(messages))
	for i, m := range messages {
		all[i] = m.Receipt
	}
	return all
}
