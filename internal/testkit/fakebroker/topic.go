package fakebroker

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Topic is one topic with its subscriptions.
type Topic struct {
	b         *Broker
	name, arn string
	fifo      bool

	// mu guards the fields below, and those of each Subscription.
	mu sync.Mutex
	// attrs has the attributes as they were given, and the defaults of a FIFO topic; contentDedup, groupScope and
	// maxBytes have what they mean.
	attrs map[string]string
	tags  map[string]string
	// contentDedup makes the deduplication id of the body where a message has none.
	contentDedup bool
	// groupScope compares deduplication ids within a message group only.
	groupScope bool
	// maxBytes is the limit of one message.
	maxBytes int
	dedup    dedupTable
	subs     []*Subscription // in the order of their making
}

// ARN returns the topic's ARN.
func (t *Topic) ARN() string { return t.arn }

// CreateTopic makes a topic, or returns the one of that name if every given attribute has the same value there. It
// returns an *Error InvalidParameter when one differs, and for a bad name or attribute. attrs and tags may be nil; tags
// are ignored for a topic that exists.
func (b *Broker) CreateTopic(name string, attrs, tags map[string]string) (*Topic, error) {
	fifo := attrs["FifoTopic"] == "true"
	if !validName(name, fifo, 256) {
		if fifo {
			return nil, InvalidParameter("Fifo Topic names must end with .fifo and must be made up of only uppercase and lowercase ASCII letters, numbers, underscores, and hyphens, and must be between 1 and 256 characters long.")
		}
		return nil, InvalidParameter("Topic Name")
	}
	all := map[string]string{}
	if fifo {
		all["FifoTopic"], all["ContentBasedDeduplication"], all["FifoThroughputScope"] = "true", "false", "Topic"
	}
	maps.Copy(all, attrs)
	if err := checkTopicAttributes(fifo, all); err != nil {
		return nil, err
	}
	t := &Topic{
		b: b, name: name, arn: b.TopicARN(name), fifo: fifo, tags: maps.Clone(tags),
		dedup: newDedupTable(b.cfg.DedupWindow),
	}
	t.apply(all)
	b.mu.Lock()
	have := b.topics[name]
	if have == nil {
		b.topics[name] = t
	}
	b.mu.Unlock()
	if have == nil {
		return t, nil
	}
	// A publish takes the topic's lock before the broker's, so never here the
	// other way round.
	have.mu.Lock()
	defer have.mu.Unlock()
	for k, v := range attrs {
		if !sameAttribute(k, have.attrs[k], v) {
			return nil, InvalidParameter("Attributes Reason: Topic already exists with different attributes")
		}
	}
	return have, nil
}

// checkTopicAttributes returns an *Error InvalidParameter when one of all has an unknown name or a bad value.
func checkTopicAttributes(fifo bool, all map[string]string) error {
	bad := func(name, reason string) error {
		return InvalidParameter("Attributes Reason: %s: %s", name, reason)
	}
	for k, v := range all {
		switch k {
		case "FifoTopic":
			if v != "true" && v != "false" {
				return bad(k, "must be true or false")
			}
		case "ContentBasedDeduplication":
			if !fifo || v != "true" && v != "false" {
				return bad(k, "must be true or false, and only on a FIFO topic")
			}
		case "FifoThroughputScope":
			if !fifo || v != "Topic" && v != "MessageGroup" {
				return bad(k, "must be Topic or MessageGroup, and only on a FIFO topic")
			}
		case "MaximumMessageSize":
			if n, err := strconv.Atoi(v); err != nil || n < 1024 || n > MaxQueueBytes {
				return bad(k, "must be between 1024 and 1048576")
			}
		default:
			if !knownTopicAttribute(k) {
				return InvalidParameter("AttributeName")
			}
		}
	}
	return nil
}

// knownTopicAttribute reports whether SNS has the attribute called name, whose value the fake stores and does not use.
func knownTopicAttribute(name string) bool {
	switch name {
	case "DisplayName", "Policy", "DeliveryPolicy", "KmsMasterKeyId", "TracingConfig", "SignatureVersion",
		"ArchivePolicy", "DataProtectionPolicy":
		return true
	}
	return strings.HasSuffix(name, "FeedbackRoleArn") || strings.HasSuffix(name, "FeedbackSampleRate")
}

// apply replaces all attributes by all, which were checked. t.mu is locked, unless the topic is new.
func (t *Topic) apply(all map[string]string) {
	t.attrs = all
	t.contentDedup = all["ContentBasedDeduplication"] == "true"
	t.groupScope = all["FifoThroughputScope"] == "MessageGroup"
	t.maxBytes = MaxTopicBytes
	if n, err := strconv.Atoi(all["MaximumMessageSize"]); err == nil {
		t.maxBytes = n
	}
}

// SetAttribute changes one attribute. It returns an *Error InvalidParameter for FifoTopic, for an unknown attribute or
// a bad value, and for FifoThroughputScope back from MessageGroup to Topic.
func (t *Topic) SetAttribute(name, value string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if name == "FifoTopic" {
		return InvalidParameter("AttributeName")
	}
	if name == "FifoThroughputScope" && value == "Topic" && t.groupScope {
		return InvalidParameter("AttributeValue Reason: FifoThroughputScope cannot go back to Topic")
	}
	all := maps.Clone(t.attrs)
	all[name] = value
	if err := checkTopicAttributes(t.fifo, all); err != nil {
		return err
	}
	t.apply(all)
	return nil
}

// Attributes returns all attributes of the topic, with the number of its subscriptions.
func (t *Topic) Attributes() map[string]string {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := maps.Clone(t.attrs)
	maps.Copy(all, map[string]string{
		"TopicArn": t.arn, "Owner": t.b.cfg.Account, "DisplayName": t.attrs["DisplayName"],
		"SubscriptionsConfirmed": strconv.Itoa(len(t.subs)), "SubscriptionsPending": "0", "SubscriptionsDeleted": "0",
	})
	return all
}

// Tags returns a copy of the tags.
func (t *Topic) Tags() map[string]string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return maps.Clone(t.tags)
}

// Tag adds tags and then removes the named ones.
func (t *Topic) Tag(add map[string]string, remove []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.tags = changed(t.tags, add, remove)
}

// Topic finds a topic by ARN, or returns the *Error InvalidParameter for a text that is no ARN, and NotFound when there
// is no such topic.
func (b *Broker) Topic(arn string) (*Topic, error) {
	if strings.Count(arn, ":") != 5 || !strings.HasPrefix(arn, "arn:") {
		return nil, InvalidParameter("TopicArn Reason: An ARN must have at least 6 elements, not %d", strings.Count(arn, ":")+1)
	}
	b.mu.RLock()
	t := b.topics[arn[strings.LastIndexByte(arn, ':')+1:]]
	b.mu.RUnlock()
	if t == nil || t.arn != arn {
		return nil, NotFound("Topic does not exist")
	}
	return t, nil
}

// Topics returns all topics, sorted by name.
func (b *Broker) Topics() []*Topic {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return slices.SortedFunc(maps.Values(b.topics), func(t, u *Topic) int { return strings.Compare(t.name, u.name) })
}

// DeleteTopic removes a topic and its subscriptions. Messages that lag are still delivered. For an ARN of no topic it
// does nothing.
func (b *Broker) DeleteTopic(arn string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if t := b.topics[arn[strings.LastIndexByte(arn, ':')+1:]]; t != nil && t.arn == arn {
		delete(b.topics, t.name)
	}
}
