package fakewire

import (
	"encoding/base64"
	"slices"
	"strings"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/fakebroker"
)

// BatchEntry is one entry of a batch, or the message of a single send.
type BatchEntry struct {
	ID string
	fakebroker.Entry
}

// Batch is a send of either service: a SendMessageBatch, a SendMessage (one
// entry without an id), a PublishBatch or a Publish.
type Batch struct {
	// Resource is the queue's URL or the topic's ARN.
	Resource string
	Entries  []BatchEntry
}

// DecodeSend reads the body of SendMessage and SendMessageBatch.
func DecodeSend(body string, batch bool) (Batch, error) {
	j := NewJSON(body)
	var b Batch
	if !batch {
		b.Entries = make([]BatchEntry, 1)
	}
	err := j.Object(func(key string) (err error) {
		switch {
		case key == "QueueUrl":
			b.Resource, err = j.optionalString()
		case key == "Entries" && batch:
			if j.Null() {
				return nil
			}
			return j.Array(func() error {
				b.Entries = append(b.Entries, BatchEntry{})
				e := &b.Entries[len(b.Entries)-1]
				return j.Object(func(key string) error { return j.entryMember(e, key) })
			})
		case !batch:
			return j.entryMember(&b.Entries[0], key)
		default:
			return j.Skip()
		}
		return err
	})
	if err == nil {
		err = j.End()
	}
	return b, err
}

func (j *JSON) optionalString() (string, error) {
	if j.Null() {
		return "", nil
	}
	return j.String()
}

func (j *JSON) entryMember(e *BatchEntry, key string) (err error) {
	switch key {
	case "Id":
		e.ID, err = j.optionalString()
	case "MessageBody":
		e.Body, err = j.optionalString()
	case "MessageGroupId":
		e.GroupID, err = j.optionalString()
	case "MessageDeduplicationId":
		e.DedupID, err = j.optionalString()
	case "DelaySeconds":
		if j.Null() {
			return nil
		}
		var n int
		n, err = j.Int()
		e.Delay = &n
	case "MessageAttributes":
		e.Attributes, err = j.attributes()
	case "MessageSystemAttributes":
		var system []fakebroker.Attribute
		if system, err = j.attributes(); err != nil {
			return err
		}
		for i := range system {
			if system[i].Name == "AWSTraceHeader" {
				e.TraceHeader = system[i].Value
			}
		}
	default:
		return j.Skip()
	}
	return err
}

// attributes reads a map of attributes, sorted by name.
func (j *JSON) attributes() ([]fakebroker.Attribute, error) {
	if j.Null() {
		return nil, nil
	}
	var out []fakebroker.Attribute
	err := j.Object(func(name string) error {
		a := fakebroker.Attribute{Name: name}
		err := j.Object(func(key string) (err error) {
			switch key {
			case "DataType":
				a.Type, err = j.optionalString()
			case "StringValue":
				a.Value, err = j.optionalString()
			case "BinaryValue":
				var encoded string
				if encoded, err = j.optionalString(); err == nil {
					a.Binary, err = base64.StdEncoding.DecodeString(encoded)
				}
			default:
				return j.Skip()
			}
			return err
		})
		out = append(out, a)
		return err
	})
	sortAttributes(out)
	return out, err
}

func sortAttributes(list []fakebroker.Attribute) {
	slices.SortStableFunc(list, func(a, b fakebroker.Attribute) int { return strings.Compare(a.Name, b.Name) })
}
