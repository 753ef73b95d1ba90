package dlq

import (
	"context"
	"time"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

// Queue is a FIFO dead-letter queue. Its methods may be called concurrently.
type Queue interface {
	// Receive returns visible messages and hides them; those of one group are in their order. No messages and no error
	// mean that the queue has none to return now. A group that has a hidden message is passed over as a whole.
	Receive(ctx context.Context, in Receive) ([]Received, error)
	// Delete removes messages by their receipts, at most 10. The result has an error for each receipt, at the same
	// index, nil when the message is gone. The receipt of a message that is not hidden any more is an error.
	Delete(ctx context.Context, receipts []string) []error
	// Hide hides messages for d from now on, by their receipts, at most 10; with a d of zero they are visible at
	// once. The result has an error for each receipt, at the same index, nil when the message is hidden for d.
	// The receipt of a message that is not hidden any more is an error.
	Hide(ctx context.Context, receipts []string, d time.Duration) []error
}

// Receive is the input of one call of [Queue].Receive.
type Receive struct {
	// Attempt is the name of this receive. A receive that repeats another one, whose answer was lost, has the same name
	// and returns the same messages. Any other receive has a name of its own.
	Attempt string
	// Max is the most messages to return, from 1 to 10.
	Max int
	// Hide is how long the messages are hidden, in whole seconds. The time begins at some moment of the call.
	Hide time.Duration
	// Wait is how long to wait for the first message, in whole seconds. Zero is no wait.
	Wait time.Duration
}

// Gauge counts the messages of a queue.
type Gauge interface {
	// Depth returns how many messages the queue has, approximately.
	Depth(ctx context.Context) (Depth, error)
}

// Depth is how many messages a queue has, visible and hidden.
type Depth struct {
	// Visible is the number of messages that are not hidden. The queue returns only those of them that do not stand
	// behind a hidden message of their group.
	Visible int
	// Hidden is the number of messages that were received, were not deleted, and are not visible again yet.
	Hidden int
}

// Target is the queue to which messages are sent back.
type Target interface {
	// Send sends msgs as one batch, within Limits, and returns one result for each, at the same index. No two
	// messages are of one group. A message of which Send does not know whether it was sent has the class
	// [outbox.Unknown]. It may be called concurrently.
	Send(ctx context.Context, msgs []Outgoing) []outbox.Result
	// Limits returns the most messages and bytes of one batch. It is constant.
	Limits() outbox.Limits
}

// Route is the dead-letter queue from which a run takes messages, and the target to which it sends them.
type Route struct {
	// Queue is the dead-letter queue, QueueName its name in the answer, and QueueARN its ARN in the record of a run.
	// Queue is required.
	Queue               Queue
	QueueName, QueueARN string
	// Gauge counts the messages of Queue. It is required.
	Gauge Gauge
	// Target is the queue that the messages go to, TargetName its name in the answer, and TargetARN its ARN in the
	// record of a run. Target is required.
	Target                Target
	TargetName, TargetARN string
	// FailedARN is the ARN of Target where Target was found by its redrive policy. Then a message that failed at
	// another queue fails. Where FailedARN is empty, messages that failed at any queue go to Target.
	FailedARN string
	// Subscriptions are those that have Queue as their dead-letter queue, where Target was found by them: then a
	// message is sent in the form in which its subscription would have delivered it. Else the list is empty.
	Subscriptions []Subscription
	// Notes are added to the notes of the answer.
	Notes []string
}

// Subscription is a queue's subscription to an SNS topic. The subscription has a dead-letter queue of its own.
type Subscription struct {
	// TopicARN is the topic that the queue is subscribed to.
	TopicARN string
	// Raw is true when the subscription delivers bodies as they were published, false when in an SNS envelope. A
	// message is sent back in that form.
	Raw bool
}

// Received is a message as it was received from a dead-letter queue.
type Received struct {
	// MessageID is the broker's id of the message, the same each time that the message is received.
	MessageID string
	// Receipt identifies the message to Delete and Hide. Each receive of the message gives a new one.
	Receipt string
	// GroupID is the message group, empty where the dead-letter queue is not FIFO.
	GroupID string
	// DeduplicationID is the one that the message has in the dead-letter queue. When SQS moves a message there, it
	// replaces the id by the message id (SQS developer guide, Configuring a dead-letter queue redrive).
	DeduplicationID string
	// SourceARN is the ARN of the queue that SQS moved the message from. It is empty where SQS does not name one, such
	// as for a message that a subscription could not deliver.
	SourceARN string
	// TraceHeader is the system attribute AWSTraceHeader of SQS, which continues a trace of X-Ray. It is empty
	// without a trace.
	TraceHeader string
	Body        string
	Attributes  []Attribute
}

// Outgoing is a message as it is sent to the [Target]. TraceHeader is empty without a trace; GroupID and
// DeduplicationID are required.
type Outgoing struct {
	GroupID         string
	DeduplicationID string
	TraceHeader     string
	Body            string
	Attributes      []Attribute
}

// Size returns the number of bytes that count towards the broker's limits: the body, and the names, types and values of
// the attributes.
func (m *Outgoing) Size() int {
	size := len(m.Body)
	for i := range m.Attributes {
		a := &m.Attributes[i]
		size += len(a.Name) + len(a.Type) + len(a.Value) + len(a.Binary)
	}
	return size
}

// Attribute is a message attribute of any type of SQS. Binary is set for the type Binary and for types that begin
// so, such as Binary.png, Value for all others.
type Attribute struct {
	Name   string
	Type   string
	Value  string
	Binary []byte
}
