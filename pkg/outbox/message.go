package outbox

// Message is an event in the form that brokers take: what is common to SNS and
// SQS FIFO. [Encode] makes it.
type Message struct {
	// GroupID orders: the broker delivers the messages of a group in the order
	// it accepted them.
	GroupID string
	// DeduplicationID is the same for every attempt to send the event. The
	// broker drops a second one within five minutes.
	DeduplicationID string
	// Body is the payload as it was written.
	Body string
	// Attributes are at most MaxAttributes string attributes, sorted by name.
	Attributes []Attribute
	// Size is the number of bytes that count towards the broker's limits: the
	// body, and the names, types and values of the attributes.
	Size int
}

// Attribute is a message attribute of type String.
type Attribute struct {
	Name  string
	Value string
}
