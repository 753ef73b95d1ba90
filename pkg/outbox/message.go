package outbox

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

const (
	// MaxMessageBytes is the most that SQS takes for a message, attributes included (SendMessage reference). SNS
	// takes as much where the topic says so, and 262,144 bytes where it does not.
	MaxMessageBytes = 1 << 20
	// MaxAttributes is the most attributes of a message: SNS with raw delivery drops one that has more. [Encode] gives a
	// message eight, and one more for a replay; the tenth is for a second header of [Encoder.HeaderAttributes], and
	// else for a redrive from a dead-letter queue.
	MaxAttributes = 10
	// MaxGroupIDLength is the most characters, all ASCII, that brokers take for a group id.
	MaxGroupIDLength = 128
)

// Names of the attributes of a message. Redrives is not made here: it counts how often a message was sent back from a
// dead-letter queue, "1" the first time.
const (
	AttributeAggregateID   = "aggregate_id"
	AttributeAggregateType = "aggregate_type"
	AttributeCreatedAt     = "created_at"
	AttributeEventID       = "event_id"
	AttributeEventType     = "event_type"
	AttributeHeaders       = "headers"
	AttributeRedrives      = "redrives"
	AttributeReplay        = "outbox-replay"
	AttributeSequence      = "sequence"
	AttributeTraceparent   = "traceparent"
)

// attributeType is the data type of every attribute; brokers count its length towards the size of the message.
const attributeType = "String"

// Message is an event in the form that brokers take: what is common to SNS and SQS FIFO. [Encode] makes it.
type Message struct {
	// GroupID names the group of the message: the broker delivers the messages of a group in the order in which it
	// accepted them. The function [GroupID] makes it of the aggregate.
	GroupID string
	// DeduplicationID is the same for every attempt to send the event, until it is redriven or replayed. The broker
	// drops a message whose deduplication id it accepted within the last five minutes.
	DeduplicationID string
	// Body is the payload as it was written.
	Body string
	// Attributes are at most MaxAttributes string attributes, sorted by name.
	Attributes []Attribute
	// Size is the number of bytes that count towards the broker's limits: the body, and the names, types and values
	// of the attributes.
	Size int
}

// Attribute is a message attribute of type String.
type Attribute struct {
	Name  string
	Value string
}

// Encode makes the message of an event. The same record always gives the same message. An error means that no attempt
// to send the event can ever succeed; it is a [*FieldError], whose Code is that of the dead letter.
//
// Attributes, all of type String and never empty, sorted by name: aggregate_id, aggregate_type, created_at (RFC 3339,
// UTC, up to nanoseconds), event_id, event_type, headers (when there are any but traceparent: <key>=<value> joined by &,
// percent-encoded), outbox-replay (of a replay only: the id of the row that it copies), sequence (that of
// [Record.Sequence], decimal) and traceparent (when the event has one).
//
// It does not parse the payload: the json column has done so.
func Encode(rec *Record) (Message, error) { return Encoder{}.Encode(rec) }

// Encoder makes messages with options, its fields. The zero value does what [Encode] does. A value can be kept and used
// by many goroutines.
type Encoder struct {
	// HeaderAttributes are the keys of headers that become attributes of the same name, so that a filter policy of a
	// subscription can look at them. All others go into the attribute headers; so do an empty value and one with a
	// character that brokers refuse in an attribute. At most [MaxHeaderAttributes], for [Encoder.Validate]. Nil is
	// traceparent alone.
	HeaderAttributes []string
}

// Encode does what the function [Encode] does, with the options of c, which are taken to be valid.
func (c Encoder) Encode(rec *Record) (Message, error) {
	body := string(rec.Payload)
	if err := encodable(rec, body); err != nil {
		return Message{}, err
	}
	var room [MaxHeaderAttributes]Attribute
	own := c.appendChosen(room[:0], rec.Headers)
	headers := form(rec.Headers, own)

	// All short texts are parts of one string: one allocation.
	var scratch [256]byte
	b := scratch[:0]
	b = appendUUID(b, rec.EventID)
	idEnd := len(b)
	if rec.Replays > 0 {
		b = append(b, "#r"...)
		b = strconv.AppendInt(b, int64(rec.Replays), 10)
	}
	dedupEnd := len(b)
	b = appendGroupID(b, rec.AggregateType, rec.AggregateID)
	groupEnd := len(b)
	b = strconv.AppendInt(b, rec.Sequence(), 10)
	sequenceEnd := len(b)
	b = rec.CreatedAt.UTC().AppendFormat(b, time.RFC3339Nano)
	createdEnd := len(b)
	if rec.ReplayOf != 0 {
		b = strconv.AppendInt(b, rec.ReplayOf, 10)
	}
	texts := string(b)

	n := 6 + len(own)
	if headers != "" {
		n++
	}
	if rec.ReplayOf != 0 {
		n++
	}
	attributes := append(make([]Attribute, 0, n),
		Attribute{Name: AttributeAggregateID, Value: rec.AggregateID},
		Attribute{Name: AttributeAggregateType, Value: rec.AggregateType},
		Attribute{Name: AttributeCreatedAt, Value: texts[sequenceEnd:createdEnd]},
		Attribute{Name: AttributeEventID, Value: texts[:idEnd]},
		Attribute{Name: AttributeEventType, Value: rec.Type},
	)
	if headers != "" {
		attributes = append(attributes, Attribute{Name: AttributeHeaders, Value: headers})
	}
	if rec.ReplayOf != 0 {
		attributes = append(attributes, Attribute{Name: AttributeReplay, Value: texts[createdEnd:]})
	}
	attributes = append(attributes, Attribute{Name: AttributeSequence, Value: texts[groupEnd:sequenceEnd]})
	attributes = append(attributes, own...)
	slices.SortFunc(attributes, func(a, b Attribute) int { return strings.Compare(a.Name, b.Name) })

	size := len(body)
	for i := range attributes {
		size += len(attributes[i].Name) + len(attributeType) + len(attributes[i].Value)
	}
	if size > MaxMessageBytes {
		return Message{}, &FieldError{Field: "Message", Problem: fmt.Sprintf("has %d bytes with its attributes: use at most %d", size, MaxMessageBytes), code: codeTooLong}
	}
	return Message{
		GroupID:         texts[dedupEnd:groupEnd],
		DeduplicationID: texts[:dedupEnd],
		Body:            body,
		Attributes:      attributes,
		Size:            size,
	}, nil
}

// encodable returns the first fault of a record for which a broker would refuse its message, or the whole batch with
// that message, as a FieldError. body is the payload as text. Events that were written in SQL, and not with Enqueue,
// have not been validated before.
func encodable(rec *Record, body string) error {
	if rec.EventID == uuid.Nil {
		return &FieldError{Field: "EventID", Problem: "is zero: assign one", code: codeInvalid}
	}
	if body == "" {
		return &FieldError{Field: "Payload", Problem: "is empty: brokers take no empty body", code: codeInvalid}
	}
	if at := badCharacter(body); at >= 0 {
		return characterError("Payload", body, at)
	}
	for _, f := range [...]struct{ name, value string }{
		{"AggregateType", rec.AggregateType},
		{"AggregateID", rec.AggregateID},
		{"Type", rec.Type},
	} {
		if f.value == "" {
			return &FieldError{Field: f.name, Problem: "is empty: brokers take no empty attribute", code: codeInvalid}
		}
		if at := badCharacter(f.value); at >= 0 {
			return characterError(f.name, f.value, at)
		}
	}
	return nil
}

// GroupID returns the group id of an aggregate. Two aggregates never share one. It is "<type>:<id>" when the type is
// not empty, has no colon and does not begin with #, and brokers take the whole: at most 128 ASCII letters, digits
// and punctuation (SendMessage reference, MessageGroupId). Otherwise it is # and a SHA-256 of both in hexadecimal
// digits.
func GroupID(aggregateType, aggregateID string) string {
	return string(appendGroupID(make([]byte, 0, MaxGroupIDLength), aggregateType, aggregateID))
}

// appendGroupID returns b with the group id of an aggregate, as GroupID returns it, appended.
func appendGroupID(b []byte, aggregateType, aggregateID string) []byte {
	if plainGroup(aggregateType, aggregateID) {
		b = append(b, aggregateType...)
		b = append(b, ':')
		return append(b, aggregateID...)
	}
	// The length in front keeps ("ab", "c") and ("a", "bc") apart.
	in := make([]byte, 8, 8+len(aggregateType)+len(aggregateID))
	binary.BigEndian.PutUint64(in, uint64(len(aggregateType)))
	in = append(in, aggregateType...)
	in = append(in, aggregateID...)
	sum := sha256.Sum256(in)
	return hex.AppendEncode(append(b, '#'), sum[:])
}

// plainGroup says whether the group id of an aggregate is "<type>:<id>": brokers take that (at most MaxGroupIDLength
// bytes, printable ASCII without spaces), and no other aggregate has it (a type that has no colon and no leading #).
func plainGroup(aggregateType, aggregateID string) bool {
	if len(aggregateType)+1+len(aggregateID) > MaxGroupIDLength || aggregateType == "" || aggregateType[0] == '#' {
		return false
	}
	for i := range len(aggregateType) {
		if c := aggregateType[i]; c <= ' ' || c > '~' || c == ':' {
			return false
		}
	}
	for i := range len(aggregateID) {
		if c := aggregateID[i]; c <= ' ' || c > '~' {
			return false
		}
	}
	return true
}

// appendUUID returns b with the canonical text of id appended, such as 0192e5a4-7a3b-7c11-8f00-1234567890ab. Unlike
// id.String it makes no string.
func appendUUID(b []byte, id uuid.UUID) []byte {
	b = hex.AppendEncode(b, id[0:4])
	b = append(b, '-')
	b = hex.AppendEncode(b, id[4:6])
	b = append(b, '-')
	b = hex.AppendEncode(b, id[6:8])
	b = append(b, '-')
	b = hex.AppendEncode(b, id[8:10])
	b = append(b, '-')
	return hex.AppendEncode(b, id[10:16])
}
