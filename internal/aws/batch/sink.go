package batch

import (
	"errors"
	"fmt"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

// Sink is the [Sender] of a sink.
type Sink = Sender[outbox.Message]

// NewSink returns the sender of a sink.
func NewSink(call Call[outbox.Message], limits outbox.Limits) *Sink {
	return New(call, func(m *outbox.Message) Entry { return Entry{GroupID: m.GroupID, Size: m.Size} }, limits)
}

// CheckConfig returns every fault of the settings of a sink, joined: client is false, the destination (the
// setting named field) is empty, or messageBytes is not from 1 to most.
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

// Attributes returns the attributes as the SDK's requests have them, by name, nil when there are none.
// attribute makes one of type String from its value.
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
