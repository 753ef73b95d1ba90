package fakebroker

import (
	"crypto/md5" //nolint:gosec // the protocol's checksum, not a secret
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Attribute is a message attribute. Binary types use Binary, all others Value.
type Attribute struct {
	Name   string
	Type   string
	Value  string
	Binary []byte
}

// isBinary reports whether the value is in Binary.
func (a *Attribute) isBinary() bool { return strings.HasPrefix(a.Type, "Binary") }

// size returns the bytes of name, type and value, which count towards the limits.
func (a *Attribute) size() int { return len(a.Name) + len(a.Type) + len(a.Value) + len(a.Binary) }

// message is one message in a queue. The queue's lock guards it.
type message struct {
	id uuid.UUID
	// sequence orders the messages of a queue, also of a standard one.
	sequence   uint64
	md5        [16]byte // of body
	body       string
	attributes []Attribute
	// groupID, dedupID and traceHeader are empty when the message has none.
	groupID     string
	dedupID     string
	traceHeader string
	// source is the ARN of the queue from which the message came to this dead-letter queue; empty elsewhere.
	source string

	// sentAt and firstReceivedAt are in nanoseconds since 1970; the latter is 0 before the first receive.
	sentAt          int64
	firstReceivedAt int64
	receives        int
	// hidden is set while the message is in flight or delayed, until visibleAt, in nanoseconds since 1970; delayed is
	// set only while it waits for its first appearance.
	hidden    bool
	delayed   bool
	visibleAt int64

	// group has the message, between prev and next, nil at the ends. All three are nil once it is removed.
	group      *group
	prev, next *message
	// timedIndex is the place in Queue.timed, which has the hidden messages; -1 when the message is visible.
	timedIndex int
}

// Received is a message as a consumer gets it. MD5 is that of the body, in hex. DeduplicationID and SequenceNumber are
// empty at a standard queue. DeadLetterSource is the ARN of the queue that gave the message to this dead-letter queue,
// empty for other messages. Receives counts this receive too.
type Received struct {
	MessageID        string
	ReceiptHandle    string
	Body             string
	MD5              string
	Attributes       []Attribute
	GroupID          string
	DeduplicationID  string
	SequenceNumber   string
	TraceHeader      string
	DeadLetterSource string
	SentAt           time.Time
	FirstReceivedAt  time.Time
	Receives         int
}

// received returns m as a consumer gets it. q.mu is locked.
func (q *Queue) received(m *message) Received {
	r := Received{
		MessageID: m.id.String(), ReceiptHandle: q.handle(m), Body: m.body, MD5: hex.EncodeToString(m.md5[:]),
		Attributes: m.attributes, GroupID: m.groupID, TraceHeader: m.traceHeader, DeadLetterSource: m.source,
		SentAt: time.Unix(0, m.sentAt), FirstReceivedAt: time.Unix(0, m.firstReceivedAt), Receives: m.receives,
	}
	if q.fifo {
		r.DeduplicationID, r.SequenceNumber = m.dedupID, queueSequence(m.sequence)
	}
	return r
}

// queueSequence returns the sequence number n of a queue as 20 digits, as real ones have. It begins with 188 and one of
// a topic with 100, so that a test cannot mistake one for the other.
func queueSequence(n uint64) string { return fmt.Sprintf("188%017d", n) }

// topicSequence returns the sequence number n of a topic as 20 digits, which begin with 100.
func topicSequence(n uint64) string { return fmt.Sprintf("100%017d", n) }

// AttributesMD5 returns the checksum of message attributes that SQS answers with, in hex, empty when there are none.
// See "Calculating the MD5 message digest for message attributes" in the SQS developer guide.
func AttributesMD5(attributes []Attribute) string {
	if len(attributes) == 0 {
		return ""
	}
	sorted := slices.SortedFunc(slices.Values(attributes), func(a, b Attribute) int { return strings.Compare(a.Name, b.Name) })
	var buf []byte
	field := func(s string) {
		buf = binary.BigEndian.AppendUint32(buf, uint32(len(s)))
		buf = append(buf, s...)
	}
	for i := range sorted {
		a := &sorted[i]
		field(a.Name)
		field(a.Type)
		if a.isBinary() {
			buf = append(buf, 2)
			field(string(a.Binary))
		} else {
			buf = append(buf, 1)
			field(a.Value)
		}
	}
	return fmt.Sprintf("%x", md5.Sum(buf))
}
