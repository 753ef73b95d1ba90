package fakebroker

import (
	"crypto/md5" //nolint:gosec // the protocol's checksum, not a secret
	"crypto/sha256"
	"encoding/hex"
	"time"

	"github.com/google/uuid"
)

// Entry is one message on its way into a queue or topic.
type Entry struct {
	Body string
	// GroupID, DedupID, TraceHeader, Subject and Structure are empty when the request has none. TraceHeader is for
	// queues only, Subject and Structure for topics only.
	GroupID     string
	DedupID     string
	TraceHeader string
	Subject     string
	Structure   string
	// Delay is the delay asked for this message at a queue, in seconds; nil takes the queue's own.
	Delay      *int
	Attributes []Attribute
	// Refuse, when not nil, is an answer decided beforehand: the entry is not accepted.
	Refuse *Error
}

// Size returns the bytes that count towards the limits: the body and the names, types and values of the attributes.
func (e *Entry) Size() int {
	n := len(e.Body)
	for i := range e.Attributes {
		n += e.Attributes[i].size()
	}
	return n
}

// Sent is the answer to one entry: Err, or ids.
type Sent struct {
	// MessageID and SequenceNumber are new, or, for a suppressed message, those of the message that used its
	// deduplication id first. SequenceNumber is empty at a standard queue or topic.
	MessageID      string
	SequenceNumber string
	// BodyMD5 and AttributesMD5 are in hex and set by queues only.
	BodyMD5       string
	AttributesMD5 string
	// Suppressed is whether the deduplication id was known, so that nothing is delivered.
	Suppressed bool
	// Err is why the entry was refused, nil when it was accepted.
	Err *Error
}

// CheckRequired returns the error with which SQS refuses a whole request because the entry e of it lacks a group id or
// a deduplication id that the queue needs, and nil otherwise. Only a FIFO queue needs any. batch chooses between the
// errors of SendMessageBatch and SendMessage.
func (q *Queue) CheckRequired(e *Entry, batch bool) *Error {
	if !q.fifo {
		return nil
	}
	if e.GroupID == "" {
		if batch {
			return InvalidParameterValue("The request must contain the parameter MessageGroupId.")
		}
		return MissingParameter("MessageGroupId")
	}
	q.mu.Lock()
	content := q.settings.contentDedup
	q.mu.Unlock()
	if e.DedupID == "" && !content {
		return InvalidParameterValue("The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly")
	}
	return nil
}

// check returns why SQS refuses e alone, while other entries of its batch may be accepted, and nil when SQS takes it.
// maxBytes is the queue's limit of one message.
func (q *Queue) check(e *Entry, maxBytes int) *Error {
	switch {
	case e.Refuse != nil:
		return e.Refuse
	case e.Body == "":
		return MissingParameter("MessageBody")
	case len(e.Attributes) > MaxAttributes:
		return InvalidParameterValue("Number of message attributes [%d] exceeds the allowed maximum [%d].", len(e.Attributes), MaxAttributes)
	case e.Size() > maxBytes:
		return InvalidParameterValue("One or more parameters are invalid. Reason: Message must be shorter than %d bytes.", maxBytes)
	case !validContents(e.Body):
		return Fault("InvalidMessageContents", "com.amazonaws.sqs#InvalidMessageContents",
			"Invalid characters found. Valid unicode characters are #x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF")
	case e.GroupID != "" && !validIdentifier(e.GroupID):
		return InvalidParameterValue("Value %s for parameter MessageGroupId is invalid. Reason: MessageGroupId can only include alphanumeric and punctuation characters. 1 to 128 in length.", e.GroupID)
	case e.DedupID != "" && !validIdentifier(e.DedupID):
		return InvalidParameterValue("Value %s for parameter MessageDeduplicationId is invalid. Reason: MessageDeduplicationId can only include alphanumeric and punctuation characters. 1 to 128 in length.", e.DedupID)
	case !q.fifo && e.DedupID != "":
		return InvalidParameterValue("Value %s for parameter MessageDeduplicationId is invalid. Reason: The request includes a parameter that is not valid for this queue type.", e.DedupID)
	case q.fifo && e.Delay != nil && *e.Delay != 0:
		return InvalidParameterValue("Value %d for parameter DelaySeconds is invalid. Reason: The request include parameter that is not valid for this queue type.", *e.Delay)
	case e.Delay != nil && (*e.Delay < 0 || *e.Delay > 900):
		return InvalidParameterValue("Value %d for parameter DelaySeconds is invalid. Reason: DelaySeconds must be >= 0 and <= 900.", *e.Delay)
	}
	for i := range e.Attributes {
		a := &e.Attributes[i]
		if problem := attributeProblem(a); problem != "" {
			return InvalidParameterValue("Message (user) attribute '%s' %s.", a.Name, problem)
		}
		if a.empty() {
			return InvalidParameterValue("Message (user) attribute '%s' must contain a non-empty value of type '%s'.", a.Name, a.Type)
		}
		if !a.isBinary() && !validContents(a.Value) {
			return InvalidParameterValue("Message (user) attribute '%s' value contains invalid characters.", a.Name)
		}
	}
	return nil
}

// Send accepts entries in their order, and returns the answer to each: its ids, or in Err why it was refused. It fails
// as a whole only when the queue is deleted.
func (q *Queue) Send(entries []Entry) ([]Sent, error) {
	q.mu.Lock()
	maxBytes := q.settings.maxBytes
	q.mu.Unlock()
	out := make([]Sent, len(entries))
	messages := make([]message, len(entries))
	for i := range entries {
		e := &entries[i]
		if out[i].Err = q.check(e, maxBytes); out[i].Err != nil {
			continue
		}
		messages[i] = message{
			id: uuid.New(), md5: md5.Sum([]byte(e.Body)), body: e.Body, attributes: e.Attributes,
			groupID: e.GroupID, dedupID: e.DedupID, traceHeader: e.TraceHeader,
		}
		out[i].BodyMD5 = hex.EncodeToString(messages[i].md5[:])
		out[i].AttributesMD5 = AttributesMD5(e.Attributes)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.deleted {
		return nil, errQueueDoesNotExist()
	}
	now := q.b.now()
	for i := range entries {
		if out[i].Err != nil {
			continue
		}
		m := messages[i]
		delay := q.settings.delay
		if d := entries[i].Delay; d != nil && !q.fifo {
			delay = time.Duration(*d) * time.Second
		}
		out[i].MessageID, out[i].SequenceNumber, out[i].Suppressed = q.accept(now, &m, delay, SourceClient)
	}
	return out, nil
}

// accept suppresses m as a duplicate, or gives it a sequence number and a place in the queue, hidden for delay; with
// Config.Discard it has no place. Messages from a dead-letter move or a move task are never suppressed. It calls
// Config.Observe with source, and returns the ids for the answer to the sender. q.mu is locked.
func (q *Queue) accept(now int64, m *message, delay time.Duration, source string) (id, sequence string, suppressed bool) {
	var key dedupKey
	if q.fifo {
		if m.dedupID == "" {
			sum := sha256.Sum256([]byte(m.body))
			m.dedupID = hex.EncodeToString(sum[:])
		}
		key = newDedupKey(m.dedupID, m.groupID, q.settings.groupScope)
		// A dead-letter copy and a moved message are never dropped: they exist
		// nowhere else.
		if first, ok := q.dedup.first(now, key); ok && source != SourceDeadLetter && source != SourceMoveTask {
			id, sequence = first.id.String(), queueSequence(first.sequence)
			q.observe(now, m, id, sequence, source, true)
			return id, sequence, true
		}
	}
	m.sequence = q.b.nextSequence()
	if m.sentAt == 0 || q.fifo {
		m.sentAt = now
	}
	id = m.id.String()
	if q.fifo {
		q.dedup.remember(now, key, dedupEntry{id: m.id, sequence: m.sequence})
		sequence = queueSequence(m.sequence)
	}
	if !q.b.cfg.Discard {
		q.insert(now, m, delay)
	}
	q.observe(now, m, id, sequence, source, false)
	return id, sequence, false
}

// receiveDelivery accepts a message from a topic, and returns false when the queue is deleted or FIFO and m has
// no group. At a standard queue it takes the group and the deduplication id off m.
func (q *Queue) receiveDelivery(m *message) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.deleted {
		return false
	}
	if q.fifo != (m.groupID != "") {
		if q.fifo {
			return false
		}
		// Groups are not passed on to standard queues: SNS developer guide, Message grouping for FIFO topics.
		m.groupID, m.dedupID = "", ""
	}
	q.accept(q.b.now(), m, q.settings.delay, SourceTopic)
	return true
}

// observe calls Config.Observe with an acceptance of m. q.mu is locked.
func (q *Queue) observe(now int64, m *message, id, sequence, source string, suppressed bool) {
	q.b.cfg.Observe(Acceptance{
		At: time.Unix(0, now), Kind: KindQueue, Name: q.name, Source: source, GroupID: m.groupID, DeduplicationID: m.dedupID,
		MessageID: id, SequenceNumber: sequence, Suppressed: suppressed, Attributes: m.attributes, Body: m.body,
	})
}
