package fakebroker

import (
	"crypto/md5" //nolint:gosec // the protocol's checksum, not a secret
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"strings"
	"time"

	"github.com/google/uuid"
)

// CheckRequired returns the error with which SNS refuses a whole request because the entry e of it lacks a group id or
// a deduplication id that the topic needs, and nil otherwise. Only a FIFO topic needs any.
func (t *Topic) CheckRequired(e *Entry) *Error {
	if !t.fifo {
		return nil
	}
	if e.GroupID == "" {
		return InvalidParameter("The MessageGroupId parameter is required for FIFO topics")
	}
	t.mu.Lock()
	content := t.contentDedup
	t.mu.Unlock()
	if e.DedupID == "" && !content {
		return InvalidParameter("The topic should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly")
	}
	return nil
}

// MaxBytes returns the limit of one message, attributes included.
func (t *Topic) MaxBytes() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.maxBytes
}

// check returns why SNS refuses e alone, while other entries of its batch may be accepted, and nil when SNS takes it.
// maxBytes is the topic's limit of one message.
func (t *Topic) check(e *Entry, maxBytes int) *Error {
	switch {
	case e.Refuse != nil:
		return e.Refuse
	case e.Body == "":
		return Fault("InvalidParameter", "", "Empty message")
	case e.Size() > maxBytes:
		return InvalidParameter("Message too long")
	case e.GroupID != "" && !validIdentifier(e.GroupID):
		return InvalidParameter("The MessageGroupId can only include alphanumeric and punctuation characters and be at most 128 in length: %s", e.GroupID)
	case e.DedupID != "" && !validIdentifier(e.DedupID):
		return InvalidParameter("The MessageDeduplicationId can only include alphanumeric and punctuation characters and be at most 128 in length: %s", e.DedupID)
	case !t.fifo && e.DedupID != "":
		return InvalidParameter("MessageDeduplicationId Reason: The request includes MessageDeduplicationId parameter that is not valid for this topic type")
	case len(e.Subject) > 100:
		return InvalidParameter("Subject")
	case e.Structure != "" && e.Structure != "json":
		return InvalidParameter("Message Structure - invalid value %s", e.Structure)
	}
	for i := range e.Attributes {
		a := &e.Attributes[i]
		problem := attributeProblem(a)
		if problem == "" && a.empty() {
			problem = "must contain non-empty message attribute value for message attribute type '" + a.Type + "'"
		}
		if problem != "" {
			return Fault("ParameterValueInvalid", "", "The message attribute '%s' %s.", a.Name, problem)
		}
	}
	if e.Structure == "json" {
		if _, ok := structured(e.Body); !ok {
			return InvalidParameter("Message Structure - No default entry in JSON message body")
		}
	}
	return nil
}

// structured returns the body for SQS of a message with the structure "json": the member "sqs" of the JSON object in
// body, else "default". It returns false unless there is a member "default" and both are strings.
func structured(body string) (string, bool) {
	var m map[string]json.RawMessage
	var s string
	if json.Unmarshal([]byte(body), &m) != nil || m["default"] == nil {
		return "", false
	}
	for _, k := range []string{"default", "sqs"} {
		if raw, ok := m[k]; ok && json.Unmarshal(raw, &s) != nil {
			return "", false
		}
	}
	return s, true
}

// delivery is a published message on its way to subscribers.
type delivery struct {
	// at is when the message was published, due when it arrives if it lags, both in nanoseconds since 1970.
	at  int64
	due int64
	// id and sequence were given by the topic, and the queue gives others; sequence is 0 at a standard topic.
	id       uuid.UUID
	sequence uint64
	// body is what SQS subscribers get.
	body       string
	subject    string
	groupID    string
	dedupID    string
	attributes []Attribute
}

// Publish accepts entries in their order, delivers those that are no duplicates to all subscribers, and returns the
// answer to each: its ids, or in Err why it was refused. One refused entry does not stop others.
func (t *Topic) Publish(entries []Entry) []Sent {
	maxBytes := t.MaxBytes()
	out := make([]Sent, len(entries))
	for i := range entries {
		out[i].Err = t.check(&entries[i], maxBytes)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.b.now()
	var fresh []delivery
	for i := range entries {
		if out[i].Err == nil {
			if d, ok := t.accept(now, &entries[i], &out[i]); ok {
				fresh = append(fresh, d)
			}
		}
	}
	if len(fresh) > 0 {
		for _, s := range t.subs {
			s.deliver(now, fresh)
		}
	}
	return out
}

// accept gives e its ids, or, when it is a duplicate, those of the first message, and writes them to out. It calls
// Config.Observe, and returns what is to be delivered, and false for a duplicate, which is not. t.mu is locked.
func (t *Topic) accept(now int64, e *Entry, out *Sent) (delivery, bool) {
	d := delivery{
		at: now, id: uuid.New(), body: e.Body, subject: e.Subject,
		groupID: e.GroupID, dedupID: e.DedupID, attributes: e.Attributes,
	}
	if e.Structure == "json" {
		d.body, _ = structured(e.Body)
	}
	if t.fifo {
		if d.dedupID == "" {
			sum := sha256.Sum256([]byte(e.Body))
			d.dedupID = hex.EncodeToString(sum[:])
		}
		key := newDedupKey(d.dedupID, e.GroupID, t.groupScope)
		if first, ok := t.dedup.first(now, key); ok {
			out.MessageID, out.SequenceNumber, out.Suppressed = first.id.String(), topicSequence(first.sequence), true
		} else {
			d.sequence = t.b.nextSequence()
			t.dedup.remember(now, key, dedupEntry{id: d.id, sequence: d.sequence})
			out.SequenceNumber = topicSequence(d.sequence)
		}
	}
	if !out.Suppressed {
		out.MessageID = d.id.String()
	}
	t.b.cfg.Observe(Acceptance{
		At: time.Unix(0, now), Kind: KindTopic, Name: t.name, Source: SourceClient, GroupID: d.groupID, DeduplicationID: d.dedupID,
		MessageID: out.MessageID, SequenceNumber: out.SequenceNumber, Suppressed: out.Suppressed,
		Attributes: d.attributes, Body: d.body,
	})
	return d, !out.Suppressed
}

// deliver puts the messages ds that pass the filter into the subscribed queue, in order, at once or after Config.Lag,
// which it calls once for all. It does nothing for other subscribers than queues. The topic's mu is locked.
func (s *Subscription) deliver(now int64, ds []delivery) {
	if s.protocol != "sqs" {
		return
	}
	name := s.endpoint[strings.LastIndexByte(s.endpoint, ':')+1:]
	lag := s.topic.b.cfg.Lag(s.topic.name, name)
	for i := range ds {
		if !s.matches(&ds[i]) {
			continue
		}
		if lag <= 0 && len(s.pending) == 0 {
			s.put(&ds[i])
			continue
		}
		d := ds[i]
		d.due = now + int64(lag)
		s.pending = append(s.pending, d)
	}
	s.schedule(now)
}

// schedule sets the timer for the first pending delivery, unless it is set. A delivery never overtakes an earlier one.
// The topic's mu is locked.
func (s *Subscription) schedule(now int64) {
	if s.active || len(s.pending) == 0 {
		return
	}
	s.active = true
	s.topic.b.cfg.Clock.AfterFunc(time.Duration(max(0, s.pending[0].due-now)), func() {
		s.topic.mu.Lock()
		defer s.topic.mu.Unlock()
		s.active = false
		at := s.topic.b.now()
		for len(s.pending) > 0 && s.pending[0].due <= at {
			s.put(&s.pending[0])
			s.pending[0] = delivery{}
			s.pending = s.pending[1:]
		}
		s.schedule(at)
	})
}

// put writes one message into the subscribed queue, or, when that is not possible, into the subscription's dead-letter
// queue, or else counts it as undelivered.
func (s *Subscription) put(d *delivery) {
	b := s.topic.b
	m := s.message(d)
	// "If you use raw message delivery with more than 10 message attributes, the message is discarded as a
	// client-side error": SNS developer guide, Message attributes.
	discard := s.raw && len(d.attributes) > MaxAttributes
	if q, err := b.Queue(s.endpoint); err == nil && !discard && q.receiveDelivery(m) {
		return
	}
	if s.dlq != "" {
		if q, err := b.Queue(s.dlq); err == nil && q.receiveDelivery(s.message(d)) {
			return
		}
	}
	b.undelivered.Add(1)
}

// message returns d as a message of the subscribed queue, with a new id: raw, or in SNS's envelope without attributes.
func (s *Subscription) message(d *delivery) *message {
	m := &message{id: uuid.New(), groupID: d.groupID, dedupID: d.dedupID}
	if s.raw {
		m.body, m.attributes = d.body, d.attributes
	} else {
		m.body = s.envelope(d)
	}
	m.md5 = md5.Sum([]byte(m.body))
	return m
}

// envelope returns the JSON in which SNS wraps a message without raw delivery. It has a SequenceNumber when the topic is
// FIFO, and otherwise the fields of a signature, which is none.
func (s *Subscription) envelope(d *delivery) string {
	type value struct{ Type, Value string }
	type signature struct {
		SignatureVersion, Signature, SigningCertURL string
	}
	e := struct {
		Type           string
		MessageID      string `json:"MessageId"`
		SequenceNumber string `json:",omitempty"`
		TopicArn       string
		Subject        string `json:",omitempty"`
		Message        string
		Timestamp      string
		*signature
		UnsubscribeURL    string
		MessageAttributes map[string]value `json:",omitempty"`
	}{
		Type: "Notification", MessageID: d.id.String(), TopicArn: s.topic.arn, Subject: d.subject, Message: d.body,
		Timestamp:      time.Unix(0, d.at).UTC().Format("2006-01-02T15:04:05.000Z"),
		UnsubscribeURL: s.topic.b.cfg.URL() + "/?Action=Unsubscribe&SubscriptionArn=" + s.arn,
	}
	if s.topic.fifo {
		e.SequenceNumber = topicSequence(d.sequence)
	} else {
		e.signature = &signature{SignatureVersion: "1", Signature: "UNSIGNED", SigningCertURL: s.topic.b.cfg.URL() + "/_fake/unsigned.pem"}
	}
	for i := range d.attributes {
		a := &d.attributes[i]
		if e.MessageAttributes == nil {
			e.MessageAttributes = map[string]value{}
		}
		v := value{Type: a.Type, Value: a.Value}
		if a.isBinary() {
			v.Value = base64.StdEncoding.EncodeToString(a.Binary)
		}
		e.MessageAttributes[a.Name] = v
	}
	var sb strings.Builder
	enc := json.NewEncoder(&sb)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(e); err != nil {
		return ""
	}
	return strings.TrimSuffix(sb.String(), "\n")
}
