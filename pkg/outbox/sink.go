package outbox

import "context"

// Sink publishes messages to one destination: one FIFO topic or one FIFO queue.
type Sink interface {
	// Publish sends msgs as one batch and returns one Result per message, at the same index. It never retries for
	// longer than ctx allows, does not keep msgs, and may be called concurrently. Only the class Accepted means that
	// the destination has the message. The caller keeps the batch within Limits; a batch that is not comes back with
	// results of the class Rejected, not truncated.
	Publish(ctx context.Context, msgs []Message) []Result
	// Limits returns what one batch may hold. It makes no network call, and returns the same each time.
	Limits() Limits
}

// Limits are the bounds of one batch that a [Sink] publishes.
type Limits struct {
	// Entries is the most messages in a batch.
	Entries int
	// MessageBytes is the largest [Message.Size] that can ever be accepted.
	MessageBytes int
	// BatchBytes is the largest sum of [Message.Size] in a batch.
	BatchBytes int
}

// Result is what became of one message: the destination's answer, or the reason why there is none.
type Result struct {
	// Class says what happened, and so whether and when the message is sent again.
	Class Class
	// MessageID and SequenceNumber are those that the broker gave the message, empty unless Class is Accepted. SNS
	// and SQS FIFO both give sequence numbers that grow within a group.
	MessageID      string
	SequenceNumber string
	// Err is why the message was not accepted, nil when it was. Its text is for people.
	Err error
	// Code is the broker's error code, such as "InvalidMessageContents", or a short word of the sink's own. It is
	// empty when Class is Accepted.
	Code string
}

// Class is the kind of a [Result], by what the caller can do about it.
type Class int

const (
	// Unknown: the message may or may not have been accepted (a timeout, a reset, a 5xx, an id missing from the
	// answer, a checksum that does not match). The same message goes again, with the same deduplication id, before
	// anything newer of its lane. It is the zero value, so that a forgotten result is never taken for an acceptance
	// or a rejection.
	Unknown Class = iota
	// Accepted: the destination has the message.
	Accepted
	// Rejected: the message can never be accepted as it is.
	Rejected
	// Transient: this message was not accepted now, and may be later. The relay counts it as an attempt of the event
	// when the destination accepts others.
	Transient
	// Throttled: the message was not accepted, because too much was sent. It may be accepted later.
	Throttled
	// Unavailable: the destination refuses everything (no such queue, access denied, no connection). No single
	// message is to blame, and none is charged with an attempt.
	Unavailable
)

// String returns the word for the class in logs and metrics, "invalid" for a value that is none of the classes.
func (c Class) String() string {
	switch c {
	case Unknown:
		return "unknown"
	case Accepted:
		return "accepted"
	case Rejected:
		return "rejected"
	case Transient:
		return "transient"
	case Throttled:
		return "throttled"
	case Unavailable:
		return "unavailable"
	}
	return "invalid"
}
