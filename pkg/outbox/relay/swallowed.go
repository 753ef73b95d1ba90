package relay

import (
	"cmp"
	"hash/maphash"
	"log/slog"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

// maxMessages is how many message ids of brokers a relay remembers.
const maxMessages = 1 << 14

// messages remembers which event each of the last maxMessages messages was, by a hash of the destination and the broker's
// message id. A broker that takes a message for a duplicate answers the id of the one that it has, so that a message id
// of two events tells that the second was dropped.
type messages struct {
	seed maphash.Seed
	of   map[uint64]identity
	// ring has the keys of of, the oldest at next once it is full.
	ring []uint64
	next int
}

// newMessages returns an empty memory.
func newMessages() messages { return messages{seed: maphash.MakeSeed(), of: map[uint64]identity{}} }

// add notes that the event is the message of a destination, and returns the event that was this message before; false when
// there is none, or when it is the same event.
func (m *messages) add(destination, messageID string, event identity) (identity, bool) {
	if messageID == "" {
		return identity{}, false
	}
	var h maphash.Hash
	h.SetSeed(m.seed)
	_, _ = h.WriteString(destination)
	_ = h.WriteByte(0)
	_, _ = h.WriteString(messageID)
	key := h.Sum64()
	if before, known := m.of[key]; known {
		return before, before != event
	}
	m.of[key] = event
	if len(m.ring) < maxMessages {
		m.ring = append(m.ring, key)
		return identity{}, false
	}
	delete(m.of, m.ring[m.next])
	m.ring[m.next] = key
	m.next = (m.next + 1) % maxMessages
	return identity{}, false
}

// notice counts and logs an event that its destination accepted with the result r as the duplicate of another one: the
// message id is that of another event, or the sequence number is not above that of the event of the lane before it.
// Its message is not delivered; what is written of the event is the answer all the same.
func (l *loop) notice(it *item, r outbox.Result) {
	lane := it.lane
	other, twice := l.messages.add(lane.dest.name, r.MessageID, identityOf(it.rec))
	behind := lane.sequence != "" && r.SequenceNumber != "" && compareNumbers(r.SequenceNumber, lane.sequence) <= 0
	if r.SequenceNumber != "" {
		lane.sequence = r.SequenceNumber
	}
	if !twice && !behind {
		return
	}
	l.stats.now.Swallowed++
	l.log.Error("the broker took an event for a duplicate of another one, and delivers it not: do two events have one event id?",
		slog.String("event_id", it.rec.EventID.String()), slog.Int64("id", it.rec.ID), slog.Int64("other_id", other.id),
		slog.String("destination", lane.dest.name), slog.String("message_id", r.MessageID))
}

// compareNumbers compares two decimal numbers without a sign and without leading zeros, or of one length.
func compareNumbers(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) }
