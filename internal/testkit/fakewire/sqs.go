// Package fakewire reads the requests of SQS (JSON 1.0) and SNS (Query) for a
// fake of both, and writes the XML of SNS.
package fakewire

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/fakebroker"
)

// BatchEntry is one entry of a batch to SQS or SNS, or the message of a single send or publish, which has an empty ID.
type BatchEntry struct {
	ID string
	fakebroker.Entry
}

// Batch is a call of SendMessageBatch or PublishBatch, or of SendMessage or Publish, which have one entry without an id.
type Batch struct {
	// Resource is the queue's URL or the topic's ARN.
	Resource string
	Entries  []BatchEntry
}

// Attributes are message attributes as SQS has them, by name.
type Attributes map[string]Attribute

// Attribute is a message attribute as SQS has it. Binary types have a BinaryValue, all others a StringValue.
type Attribute struct {
	DataType    string
	StringValue string `json:",omitempty"`
	BinaryValue []byte `json:",omitempty"`
}

// Add adds an attribute of the broker to a under its name, in the place of one that is there.
func (a Attributes) Add(from *fakebroker.Attribute) {
	to := Attribute{DataType: from.Type, StringValue: from.Value}
	if strings.HasPrefix(from.Type, "Binary") {
		to.StringValue, to.BinaryValue = "", from.Binary
	}
	a[from.Name] = to
}

// list returns the attributes sorted by name.
func (a Attributes) list() []fakebroker.Attribute {
	var out []fakebroker.Attribute
	for name, v := range a {
		out = append(out, fakebroker.Attribute{Name: name, Type: v.DataType, Value: v.StringValue, Binary: v.BinaryValue})
	}
	sortAttributes(out)
	return out
}

// sortAttributes sorts list by name, in place.
func sortAttributes(list []fakebroker.Attribute) {
	slices.SortStableFunc(list, func(a, b fakebroker.Attribute) int { return strings.Compare(a.Name, b.Name) })
}

// sendEntry is an entry of SendMessageBatch, or the parameters of SendMessage without the queue.
type sendEntry struct {
	ID                      string `json:"Id"`
	MessageBody             string
	MessageGroupID          string `json:"MessageGroupId"`
	MessageDeduplicationID  string `json:"MessageDeduplicationId"`
	DelaySeconds            *int
	MessageAttributes       Attributes
	MessageSystemAttributes Attributes
}

// entry returns e in the form that the broker takes.
func (e *sendEntry) entry() BatchEntry {
	return BatchEntry{ID: e.ID, Entry: fakebroker.Entry{
		Body: e.MessageBody, GroupID: e.MessageGroupID, DedupID: e.MessageDeduplicationID, Delay: e.DelaySeconds,
		Attributes: e.MessageAttributes.list(), TraceHeader: e.MessageSystemAttributes["AWSTraceHeader"].StringValue,
	}}
}

// DecodeSend reads the JSON body of SendMessageBatch when batch is set, and of SendMessage otherwise: one entry. It
// errs for a body that is no such JSON, and checks nothing else.
func DecodeSend(body string, batch bool) (Batch, error) {
	var in struct {
		QueueURL string `json:"QueueUrl"`
		Entries  []sendEntry
		sendEntry
	}
	if err := json.Unmarshal([]byte(body), &in); err != nil {
		return Batch{}, err
	}
	if !batch {
		in.Entries = []sendEntry{in.sendEntry}
	}
	b := Batch{Resource: in.QueueURL, Entries: make([]BatchEntry, len(in.Entries))}
	for i := range in.Entries {
		b.Entries[i] = in.Entries[i].entry()
	}
	return b, nil
}
