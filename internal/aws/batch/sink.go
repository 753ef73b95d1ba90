package batch

import (
	"errors"
	"fmt"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

// Sink is the [Sender] that an [outbox.Sink] of SNS or SQS sends with.
type Sink = Sender[outbox.Message]

// NewSink returns a [Sender] of outbox messages, which makes its requests with call.
func NewSink(call Call[outbox.Message], limits outbox.Limits) *Sink {
	return New(call, func(m *outbox.Message) Entry { return Entry{GroupID: m.GroupID, Size: m.Size} }, limits)
}

// CheckConfig returns all faults of a sink's settings as one error, nil when there is none: client is false, which
// says that no client was given; destination, the setting with the name field, is empty; messageBytes, the setting
// MaxMessageBytes, is below 1 or above most.
func CheckConfig(client bool, field, destination string, messageBytes, most int) error {
	var faults []error
	if !client {
		faults = append(faults, errors.New("client: is nil"))
	}
	if destination == "" {
		faults = append(faults, fmt.Errorf("%s: is empty", field))
	}
	if messageBytes < 1 || messageBytes > most {
		faults = append(faults, fmt.Errorf("MaxMessageBytes: %d is not between 1 and %d", messageBytes, most))
	}
	return errors.Join(faults...)
}

// Attributes returns the attributes in list by name, as a request of the SDK has them, nil when there are none. A is
// the SDK's type of an attribute; the function attribute makes one with a String value.
func Attributes[A any](list []outbox.Attribute, attribute func(value *string) A) map[string]A {
	if len(list) == 0 {
		return nil
	}
	attributes := make(map[string]A, len(list))
	for i := range list {
		attributes[list[i].Name] = attribute(&list[i].Value)
	}
	return attributes
}
