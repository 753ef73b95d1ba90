package dlq

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

// maxBrokerAttributes is the most attributes of a message that SQS accepts and that SNS delivers raw (SendMessage
// reference; SNS developer guide, Message attributes).
const maxBrokerAttributes = 10

// maxDeduplicationID is the longest deduplication id (SendMessage reference).
const maxDeduplicationID = 128

// ownSuffix matches the end of a deduplication id that an earlier redrive has made.
var ownSuffix = regexp.MustCompile(`#d[0-9]+\.[0-9a-f]{12}$`)

// deduplicationID returns the deduplication id under which a received message is sent:
//
//	<event id>#d<n>.<hash>
//
// n is the number of this redrive of the event, and hash is made of the broker's message id. The broker gives a new
// message id each time that an event is sent, by a relay, a replay or a redrive. So two messages never have the same
// deduplication id, and the broker does not drop one as a duplicate of the other. The same message always has the
// same deduplication id, so what a killed run sent already is dropped when the next run sends it again.
//
// The relay publishes under <event id> and <event id>#r<n>, which never equal these. Where the message names no event,
// its own deduplication id without the suffix of earlier redrives, or else its message id, takes the place of the event
// id; one too long for that is replaced by its SHA-256.
func deduplicationID(m *Received, id *identity) string {
	base := m.MessageID
	switch {
	case id.eventID != uuid.Nil:
		base = id.eventID.String()
	case m.DeduplicationID != "":
		base = ownSuffix.ReplaceAllString(m.DeduplicationID, "")
	}
	copied := sha256.Sum256([]byte(m.MessageID))
	suffix := "#d" + strconv.Itoa(id.redrives+1) + "." + hex.EncodeToString(copied[:6])
	if len(base)+len(suffix) > maxDeduplicationID {
		sum := sha256.Sum256([]byte(base))
		base = hex.EncodeToString(sum[:])
	}
	return base + suffix
}

// refusal is why a message cannot be sent: a code, and a text for people.
type refusal struct{ code, text string }

// The codes of messages that fail before they are sent.
const (
	codeOtherQueue   = "FailedAtAnotherQueue"
	codeNoEnvelope   = "NoEnvelope"
	codeUnknownTopic = "UnknownTopic"
	codeNoGroup      = "NoGroup"
	codeExpired      = "ReceiptExpired"
)

// outgoing makes what is sent for a received message, or refuses it: when the message has no group, failed at
// another queue, or cannot be put into the form that its subscription delivers. limit is the most bytes of a
// message that the target accepts; the attribute redrives is left out where the message would exceed it. The
// refusal is nil when the message can be sent; otherwise the Outgoing is not to be used.
func (r *Route) outgoing(m *Received, id *identity, limit int) (Outgoing, *refusal) {
	out := Outgoing{
		GroupID:         m.GroupID,
		DeduplicationID: deduplicationID(m, id),
		TraceHeader:     m.TraceHeader,
		Body:            m.Body,
		Attributes:      m.Attributes,
	}
	switch {
	case m.GroupID == "":
		return out, &refusal{codeNoGroup, "the message has no group: the dead-letter queue is not FIFO"}
	case m.SourceARN != "" && r.FailedARN != "" && m.SourceARN != r.FailedARN:
		return out, &refusal{codeOtherQueue, "the message failed at " + m.SourceARN + ": name that queue as `send_to`"}
	case m.SourceARN == "" && len(r.Subscriptions) > 0:
		if refused := r.deliverable(&out, id.notification); refused != nil {
			return out, refused
		}
	}
	out.Attributes = withRedrives(out.Attributes, id.redrives+1)
	if out.Size() > limit {
		out.Attributes = without(out.Attributes, outbox.AttributeRedrives)
	}
	return out, nil
}

// deliverable changes out, a message that a subscription could not deliver, into the form in which the
// subscription would have delivered it, or refuses it. AWS does not document whether SNS puts such a message into
// its envelope in the dead-letter queue, so both forms are understood. n is the envelope of the message, nil
// without one. The result is nil when out can be sent.
//
//   - With an envelope of the topic of one of the subscriptions: where the subscription is raw, the message inside is
//     sent, else the envelope as it is.
//   - With no envelope, or one of another topic, where all subscriptions are raw: the message is sent as it is. What
//     looks like an envelope is its payload.
//   - All else is refused: the form is not known, or the envelope is missing and cannot be made again.
func (r *Route) deliverable(out *Outgoing, n *notification) *refusal {
	raw, envelope, known := false, false, false
	for _, s := range r.Subscriptions {
		if n != nil && s.TopicARN == n.TopicARN {
			raw, envelope, known = s.Raw, !s.Raw, true
			break
		}
		raw, envelope = raw || s.Raw, envelope || !s.Raw
	}
	switch {
	case n != nil && known && envelope:
		return nil
	case n != nil && known:
		out.Body = *n.Message
		out.Attributes = n.attributes()
		return nil
	case raw && !envelope:
		return nil
	case n != nil:
		return &refusal{codeUnknownTopic, "the message came from " + n.TopicARN + ", which has no subscription with this dead-letter queue: how it was to be delivered is not known"}
	}
	return &refusal{codeNoEnvelope, "the subscription delivers in an envelope of SNS, and the message has none: it cannot be made again"}
}

// attributes returns the message attributes that the envelope has in its JSON, sorted by name. Binary values are
// decoded from base64; one that is not base64 stays a text.
func (n *notification) attributes() []Attribute {
	attributes := make([]Attribute, 0, len(n.MessageAttributes)+1)
	for _, name := range slices.Sorted(maps.Keys(n.MessageAttributes)) {
		a := n.MessageAttributes[name]
		attribute := Attribute{Name: name, Type: a.Type, Value: a.Value}
		if strings.HasPrefix(a.Type, "Binary") {
			if b, err := base64.StdEncoding.DecodeString(a.Value); err == nil {
				attribute.Value, attribute.Binary = "", b
			}
		}
		attributes = append(attributes, attribute)
	}
	return attributes
}

// withRedrives returns a copy of the attributes in which the attribute redrives is n. Where there are
// maxBrokerAttributes others, redrives is left out.
func withRedrives(attributes []Attribute, n int) []Attribute {
	rest := without(attributes, outbox.AttributeRedrives)
	if len(rest) >= maxBrokerAttributes {
		return rest
	}
	return append(rest, Attribute{Name: outbox.AttributeRedrives, Type: "String", Value: strconv.Itoa(n)})
}

// without returns a copy of the attributes without those of the name.
func without(attributes []Attribute, name string) []Attribute {
	return slices.DeleteFunc(slices.Clone(attributes), func(a Attribute) bool { return a.Name == name })
}
