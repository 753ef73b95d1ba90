package dlq

import (
	"context"
	"time"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

// Queue is a FIFO dead-letter queue. Its methods may be called concurrently.
type Queue interface {
	// Receive returns messages and hides them, those of one group in their
	// order. The queue returns nothing of a group that has a hidden message.
	Receive(ctx context.Context, in Receive) ([]Received, error)
	// Delete removes messages by their receipts, at most 10. The result has an
	// error for each, at the same index, nil when the message is gone. A
	// receipt whose time has passed is an error.
	Delete(ctx context.Context, receipts []string) []error
	// Hide sets how long messages stay hidden, counted from now, by their
	// receipts, at most 10; zero shows them at once. Results are as for Delete.
	Hide(ctx context.Context, receipts []string, d time.Duration) []error
}

// Receive is the input of [Queue].Receive.
type Receive struct {
	// Attempt names this receive. Every receive has another name, except one
	// that repeats a receive whose answer was lost: that one has the same name,
	// and returns the same messages.
	Attempt string
	// Max is the most messages to return, from 1 to 10.
	Max int
	// Hide is how long the messages are hidden, counted from the start of the
	// call or later. Whole seconds.
	Hide time.Duration
	// Wait is how long to wait for the first message. Whole seconds.
	Wait time.Duration
}

// Gauge tells how many messages are in a queue.
type Gauge interface {
	// Depth returns about how many messages there are.
	Depth(ctx context.Context) (Depth, error)
}

// Depth is the number of messages in a queue.
type Depth struct {
	// Visible is the number of messages that are not hidden themselves. They may
	// stand behind hidden ones of their group.
	Visible int
	// Hidden is the number of messages that were received and not deleted, and
	// whose time to appear again has not come.
	Hidden int
}

// Target is the queue that messages go back to.
type Target interface {
	// Send sends msgs as one batch, each of another group, and returns one
	// result per message, at the same index, as [outbox.Sink] does. It may be
	// called concurrently.
	Send(ctx context.Context, msgs []Outgoing) []outbox.Result
	// Limits returns what one batch may hold. It is constant.
	Limits() outbox.Limits
}

// Route is where the messages of a run come from and go to.
type Route struct {
	// Queue is the dead-letter queue, and QueueName its name in the answer.
	Queue     Queue
	QueueName string
	// Gauge counts the messages of Queue. When it is nil, the answer has neither
	// Unseen nor Hidden, and a dry run without filters receives.
	Gauge Gauge
	// Target is the queue that the messages go to, and TargetName its name in
	// the answer.
	Target     Target
	TargetName string
	// FailedARN is the ARN of Target where Target was found as the queue that
	// failed. A message that failed at another queue is refused then. When it is
	// empty, messages of all queues go to Target.
	FailedARN string
	// Subscriptions are those whose dead-letter queue is Queue, where Target was
	// found by them. Dead letters of a subscription take the form in which it
	// would have delivered them.
	Subscriptions []Subscription
	// Notes go into the answer.
	Notes []string
}

// Subscription is a subscription to a topic that has a dead-letter queue.
type Subscription struct {
	TopicARN string
	// Raw is true when the subscription delivers bodies as they were published,
	// and false when it delivers them in an envelope of SNS.
	Raw bool
}

// Received is a message as it was received from a dead-letter queue.
type Received struct {
	// MessageID is the broker's: the same for every receive of the message, and
	// another for every message.
	MessageID string
	// Receipt names this receive of the message. Delete and Hide take it.
	Receipt string
	GroupID string
	// DeduplicationID is that of the copy in the dead-letter queue. SQS replaces
	// the original's by its message id on the move (SQS developer guide,
	// Configuring a dead-letter queue redrive).
	DeduplicationID string
	// SourceARN is the queue that SQS moved the message from. It is empty where
	// SQS does not say, as for the dead letters of a subscription.
	SourceARN string
	// TraceHeader is the system attribute AWSTraceHeader.
	TraceHeader string
	Body        string
	Attributes  []Attribute
}

// Outgoing is a message on its way back.
type Outgoing struct {
	GroupID         string
	DeduplicationID string
	TraceHeader     string
	Body            string
	Attributes      []Attribute
}

// Size is the number of bytes that count towards the broker's limits: the body,
// and the names, types and values of the attributes.
func (m *Outgoing) Size() int {
	size := len(m.Body)
	for i := range m.Attributes {
		a := &m.Attributes[i]
		size += len(a.Name) + len(a.Type) + len(a.Value) + len(a.Binary)
	}
	return size
}

// Attribute is a message attribute of any type. Binary is set for the type
// Binary, Value for all others.
type Attribute struct {
	Name   string
	Type   string
	Value  string
	Binary []byte
}
