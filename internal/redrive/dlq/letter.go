package dlq

import (
	"slices"
	"time"
)

// letter is a message in hand.
type letter struct {
	Dead
	id identity
	// place is the order of arrival.
	place int
	// until is when the message appears to others again, at the earliest.
	until time.Time
	// msg is what goes back.
	msg Message
	// tries are all attempts to send it, and charged those that count against
	// it.
	tries   int
	charged int
	// jumps means that an earlier message of its group is left behind.
	jumps bool
}

func newLetter(d *Dead, until time.Time) *letter {
	return &letter{Dead: *d, id: identify(d), until: until}
}

// left is how long the receipt is certainly good. The wall clock counts as well
// as the monotonic one: either may stand still in a frozen process.
func (l *letter) left() time.Duration {
	now := time.Now()
	return min(l.until.Sub(now), l.until.Round(0).Sub(now.Round(0)))
}

// lane is what is to be sent of one group in one hand, in order.
type lane struct {
	group   *group
	letters []*letter
	// notBefore is when the first may be tried again.
	notBefore time.Time
}

// group is what is known of a group that something was held back of.
type group struct {
	held []*letter
	// stopped means that the group ended with a failure.
	stopped bool
	// gap means that a message was left out.
	gap bool
}

// find returns the letter of that message among those held back, or nil.
func (g *group) find(messageID string) *letter {
	at := slices.IndexFunc(g.held, func(l *letter) bool { return l.MessageID == messageID })
	if at < 0 {
		return nil
	}
	return g.held[at]
}
