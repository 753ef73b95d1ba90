package dlq

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

// AttributeRedrives is the message attribute that counts how often a message
// came back from a dead-letter queue: "1" the first time. It replaces the one
// that the message has, so attributes never pile up.
const AttributeRedrives = "redrives"

// maxBrokerAttributes is the most attributes that SQS takes for a message, and
// that SNS passes on with raw delivery (SendMessage reference, SNS developer
// guide, Message attributes).
const maxBrokerAttributes = 10

// maxDeduplicationID is the longest deduplication id (SendMessage reference).
const maxDeduplicationID = 128

// Dead is a message as it was received from a dead-letter queue.
type Dead struct {
	// MessageID is the broker's: the same for every receive of the message, and
	// another for every message.
	MessageID string
	// Receipt is what this receive is named by.
	Receipt string
	GroupID string
	// DeduplicationID is that of the copy in the dead-letter queue. SQS replaces
	// the original's by its message id on the move (SQS developer guide,
	// Configuring a dead-letter queue redrive).
	DeduplicationID string
	// SourceARN is the queue that SQS moved the message from, empty when it
	// does not say, as for the dead letters of a subscription.
	SourceARN string
	// TraceHeader is the system attribute AWSTraceHeader.
	TraceHeader string
	Body        string
	Attributes  []Attribute
}

// Message is a message on its way back.
type Message struct {
	GroupID         string
	DeduplicationID string
	TraceHeader     string
	Body            string
	Attributes      []Attribute
}

// Attribute is a message attribute of any type. Binary is set for the type
// Binary, Value for all others.
type Attribute struct {
	Name   string
	Type   string
	Value  string
	Binary []byte
}

// Size is the number of bytes that count towards the broker's limits: the body,
// and the names, types and values of the attributes.
func (m *Message) Size() int {
	size := len(m.Body)
	for i := range m.Attributes {
		a := &m.Attributes[i]
		size += len(a.Name) + len(a.Type) + len(a.Value) + len(a.Binary)
	}
	return size
}

// identity is what a message says about its event. Texts are empty, and the
// rest zero, where it says nothing.
type identity struct {
	eventID       uuid.UUID
	aggregateType string
	aggregateID   string
	eventType     string
	createdAt     time.Time
	sequence      int64
	redrives      int
	// notification is set when the body is an envelope of SNS.
	notification *notification
}

// notification is the envelope in which SNS delivers without raw delivery.
type notification struct {
	Type              string
	TopicARN          string `json:"TopicArn"`
	Message           *string
	MessageAttributes map[string]struct{ Type, Value string }
}

// identify reads the attributes of a message, or those inside its envelope.
func identify(d *Dead) identity {
	var id identity
	for i := range d.Attributes {
		a := &d.Attributes[i]
		id.take(a.Name, a.Value)
	}
	if id.notification = openEnvelope(d.Body); id.notification != nil && id.eventID == uuid.Nil {
		for name, a := range id.notification.MessageAttributes {
			if name != AttributeRedrives {
				id.take(name, a.Value)
			}
		}
	}
	return id
}

func (id *identity) take(name, value string) {
	switch name {
	case outbox.AttributeEventID:
		// Anything else is an attribute of somebody else that has the name.
		if parsed, err := uuid.Parse(value); err == nil && len(value) == 36 {
			id.eventID = parsed
		}
	case outbox.AttributeAggregateType:
		id.aggregateType = value
	case outbox.AttributeAggregateID:
		id.aggregateID = value
	case outbox.AttributeEventType:
		id.eventType = value
	case outbox.AttributeCreatedAt:
		if at, err := time.Parse(time.RFC3339Nano, value); err == nil {
			id.createdAt = at
		}
	case outbox.AttributeSequence:
		if n, err := strconv.ParseInt(value, 10, 64); err == nil {
			id.sequence = n
		}
	case AttributeRedrives:
		if n, err := strconv.Atoi(value); err == nil && n > 0 && n < 1_000_000 {
			id.redrives = n
		}
	}
}

// openEnvelope returns nil for a body that is no envelope of SNS.
func openEnvelope(body string) *notification {
	// Cheap first: most bodies are payloads.
	if !strings.HasPrefix(body, "{") || !strings.Contains(body, `"TopicArn"`) {
		return nil
	}
	var n notification
	if json.Unmarshal([]byte(body), &n) != nil || n.Type != "Notification" || n.TopicARN == "" || n.Message == nil {
		return nil
	}
	return &n
}

// name is what people know the message by.
func (id *identity) name(d *Dead) string {
	if id.eventID != uuid.Nil {
		return id.eventID.String()
	}
	return d.MessageID
}

// ownSuffix is what earlier redrives put behind an id.
var ownSuffix = regexp.MustCompile(`#d[0-9]+\.[0-9a-f]{12}$`)

// deduplicationID is that of the message on its way back:
//
//	<event id>#d<n>.<hash>
//
// n counts the redrives of the event, and the hash is of the message id of the
// copy in the dead-letter queue. Every time that an event is sent anew, by a
// relay, a replay or a redrive, the broker gives it a message id of its own, so
// every copy that can ever be in a dead-letter queue has an id that was never
// used before, and nothing is swallowed by a deduplication window. The same
// copy always gives the same id, so a run that repeats what a killed one had
// sent already is swallowed.
//
// The relay publishes under <event id> and <event id>#r<n>, so its ids and
// these are never equal. A message without an event id goes by the
// deduplication id of the copy, or by its message id.
func deduplicationID(d *Dead, id *identity) string {
	base := d.MessageID
	switch {
	case id.eventID != uuid.Nil:
		base = id.eventID.String()
	case d.DeduplicationID != "":
		base = ownSuffix.ReplaceAllString(d.DeduplicationID, "")
	}
	copied := sha256.Sum256([]byte(d.MessageID))
	suffix := "#d" + strconv.Itoa(id.redrives+1) + "." + hex.EncodeToString(copied[:6])
	if len(base)+len(suffix) > maxDeduplicationID {
		sum := sha256.Sum256([]byte(base))
		base = hex.EncodeToString(sum[:])
	}
	return base + suffix
}

// Subscription is one that put messages into a dead-letter queue.
type Subscription struct {
	TopicARN string
	// Raw is true when it delivers bodies as they were published, and false
	// when it delivers them in an envelope.
	Raw bool
}

// refusal is why a message cannot go back as it is.
type refusal struct{ code, text string }

// The codes of refusals.
const (
	codeOtherQueue   = "FailedAtAnotherQueue"
	codeNoEnvelope   = "NoEnvelope"
	codeUnknownTopic = "UnknownTopic"
	codeNoGroup      = "NoGroup"
	codeExpired      = "ReceiptExpired"
	codeNotDeleted   = "NotDeleted"
)

// back makes the message that goes back along the route. The limit is the
// largest that the destination takes.
func (r *Route) back(d *Dead, id *identity, limit int) (Message, *refusal) {
	m := Message{
		GroupID:         d.GroupID,
		DeduplicationID: deduplicationID(d, id),
		TraceHeader:     d.TraceHeader,
		Body:            d.Body,
		Attributes:      d.Attributes,
	}
	switch {
	case d.GroupID == "":
		return m, &refusal{codeNoGroup, "the message has no group: the dead-letter queue is not FIFO"}
	case d.SourceARN != "" && r.FailedARN != "" && d.SourceARN != r.FailedARN:
		return m, &refusal{codeOtherQueue, "the message failed at " + d.SourceARN + ": name that queue as `send_to`"}
	case d.SourceARN == "" && len(r.Subscriptions) > 0:
		if refused := r.form(&m, id.notification); refused != nil {
			return m, refused
		}
	}
	m.Attributes = counted(m.Attributes, id.redrives+1)
	if m.Size() > limit && len(m.Attributes) > 0 {
		// The count is worth less than the message: it went through without.
		if bare := without(m.Attributes, AttributeRedrives); len(bare) < len(m.Attributes) {
			m.Attributes = bare
		}
	}
	return m, nil
}

// form gives a dead letter of a subscription the form in which the subscription
// would have delivered it. What form it has in the dead-letter queue is not
// documented, so both are understood.
func (r *Route) form(m *Message, n *notification) *refusal {
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
		m.Body = *n.Message
		m.Attributes = opened(n)
		return nil
	case raw && !envelope:
		return nil // as it was published, or a payload that looks like an envelope
	case n != nil:
		return &refusal{codeUnknownTopic, "the message came from " + n.TopicARN + ", which has no subscription with this dead-letter queue: how it was to be delivered is not known"}
	}
	return &refusal{codeNoEnvelope, "the subscription delivers in an envelope of SNS, and the message has none: it cannot be made again"}
}

// opened returns the attributes that the envelope holds.
func opened(n *notification) []Attribute {
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

// counted returns attributes with the number of redrives, when there is room.
func counted(attributes []Attribute, n int) []Attribute {
	rest := without(attributes, AttributeRedrives)
	if len(rest) >= maxBrokerAttributes {
		return rest
	}
	return append(rest, Attribute{Name: AttributeRedrives, Type: "String", Value: strconv.Itoa(n)})
}

func without(attributes []Attribute, name string) []Attribute {
	rest := make([]Attribute, 0, len(attributes)+1)
	for i := range attributes {
		if attributes[i].Name != name {
			rest = append(rest, attributes[i])
		}
	}
	return rest
}
