package dlq

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

// AttributeRedrives is the message attribute that counts how often a message
// came back from a dead-letter queue: "1" the first time. A redrive replaces the
// attribute that the message has, so attributes never pile up.
const AttributeRedrives = "redrives"

// identity is what a message says about its event in attributes. Texts are
// empty, and the rest zero, for attributes that the message does not have.
type identity struct {
	eventID       uuid.UUID
	aggregateType string
	aggregateID   string
	eventType     string
	createdAt     time.Time
	sequence      int64
	redrives      int
	// notification is the envelope of SNS in the body, nil without one.
	notification *notification
}

// notification is the envelope in which a subscription of SNS delivers a message
// without raw delivery.
type notification struct {
	Type              string
	TopicARN          string `json:"TopicArn"`
	Message           *string
	MessageAttributes map[string]struct{ Type, Value string }
}

// identify reads the attributes of a message. Where they do not name an event, it
// reads those inside the envelope too.
func identify(m *Received) identity {
	var id identity
	for i := range m.Attributes {
		a := &m.Attributes[i]
		id.take(a.Name, a.Value)
	}
	if id.notification = openEnvelope(m.Body); id.notification != nil && id.eventID == uuid.Nil {
		for name, a := range id.notification.MessageAttributes {
			if name != AttributeRedrives {
				id.take(name, a.Value)
			}
		}
	}
	return id
}

// take sets the field for the attribute. An attribute of that name whose value
// does not parse is another program's, and sets nothing.
func (id *identity) take(name, value string) {
	switch name {
	case outbox.AttributeEventID:
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
	// Most bodies are payloads: these two tests are cheaper than parsing them.
	if !strings.HasPrefix(body, "{") || !strings.Contains(body, `"TopicArn"`) {
		return nil
	}
	var n notification
	if json.Unmarshal([]byte(body), &n) != nil || n.Type != "Notification" || n.TopicARN == "" || n.Message == nil {
		return nil
	}
	return &n
}

// example is the id that an answer names the message by: its event id, or else
// the broker's message id.
func (id *identity) example(m *Received) string {
	if id.eventID != uuid.Nil {
		return id.eventID.String()
	}
	return m.MessageID
}
