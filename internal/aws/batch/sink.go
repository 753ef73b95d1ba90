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

// CheckConfig returns every fault of the settings of a sink, joined, nil when there is none: client is false
// (no client was given), destination, the value of the setting named field, is empty, or messageBytes, the
// setting MaxMessageBytes, is not from 1 to most.
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

// Attributes returns the attributes of list as the SDK's requests have them, by name, nil when there are none.
// The function attribute makes one of type String from its value.
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
