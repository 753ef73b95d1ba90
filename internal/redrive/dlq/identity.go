package dlq

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

// identity is what a message says about its event: in its own attributes and, where these name no event, in those inside
// an envelope of SNS, except redrives. A field is zero where no such attribute has a value that parses.
type identity struct {
	eventID       uuid.UUID
	aggregateType string
	aggregateID   string
	eventType     string
	createdAt     time.Time
	// row is the id of the row that the message was made of, 0 when it is not known.
	row      int64
	redrives int
	// notification is the body of the message where that is an envelope of SNS, else nil.
	notification *notification
}

// notification is the JSON envelope into which a subscription of SNS without raw delivery puts a message. Message
// is the message's body, nil where the JSON has none.
type notification struct {
	Type              string
	TopicARN          string `json:"TopicArn"`
	Message           *string
	MessageAttributes map[string]struct{ Type, Value string }
}

// identify reads the attributes of a message and, where they name no event, those inside an envelope of SNS,
// except redrives.
func identify(m *Received) identity {
	var id identity
	for i := range m.Attributes {
		a := &m.Attributes[i]
		id.take(a.Name, a.Value)
	}
	if id.notification = openEnvelope(m.Body); id.notification != nil && id.eventID == uuid.Nil {
		for name, a := range id.notification.MessageAttributes {
			if name != outbox.AttributeRedrives {
				id.take(name, a.Value)
			}
		}
	}
	return id
}

// take sets the field that belongs to the attribute name. A value that does not parse sets nothing: the attribute is
// then another program's.
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
			id.row = n % outbox.EraSpan
		}
	case outbox.AttributeRedrives:
		if n, err := strconv.Atoi(value); err == nil && n > 0 && n < 1_000_000 {
			id.redrives = n
		}
	}
}

// openEnvelope parses a body as an envelope of SNS. It returns nil for any other body.
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

// example returns the id by which an answer names the message m: its event id, or else the broker's message id.
func (id *identity) example(m *Received) string {
	if id.eventID != uuid.Nil {
		return id.eventID.String()
	}
	return m.MessageID
}
