package fakebroker

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/google/uuid"
)

// Subscription carries the messages of a topic to a queue.
type Subscription struct {
	topic *Topic
	arn   string
	// protocol is "sqs" and endpoint a queue's ARN, or another kind of subscriber, to which nothing is delivered.
	protocol string
	endpoint string

	// topic.mu guards all fields below. attrs has the attributes as they were given, raw and the rest what they mean.
	attrs map[string]string
	// raw is whether messages are delivered without SNS's envelope.
	raw bool
	// filter is nil when every message passes; filterBody applies it to the body and not to the attributes.
	filter     filter
	filterBody bool
	// dlq is the ARN of the dead-letter queue, empty when there is none.
	dlq string
	// pending has the deliveries that lag (see Config.Lag), in order; active is whether a timer for the first is set.
	pending []delivery
	active  bool
}

// SubscriptionInfo describes a subscription.
type SubscriptionInfo struct {
	ARN, TopicARN, Protocol, Endpoint string
}

// Info describes s.
func (s *Subscription) Info() SubscriptionInfo {
	return SubscriptionInfo{ARN: s.arn, TopicARN: s.topic.arn, Protocol: s.protocol, Endpoint: s.endpoint}
}

// Subscribe adds a subscription, or returns the one that the endpoint has if every given attribute has the same value
// there. It returns an *Error InvalidParameter when one has another value, and for a protocol, endpoint or attribute
// that is not allowed. The queue need not exist.
func (t *Topic) Subscribe(protocol, endpoint string, attrs map[string]string) (*Subscription, error) {
	switch protocol {
	case "sqs":
		if !strings.HasPrefix(endpoint, "arn:") || strings.Count(endpoint, ":") != 5 {
			return nil, InvalidParameter("SQS endpoint ARN")
		}
		if strings.HasSuffix(endpoint, ".fifo") && !t.fifo {
			return nil, InvalidParameter("Invalid parameter: Endpoint Reason: FIFO SQS Queues can not be subscribed to standard SNS topics")
		}
	case "http", "https", "email", "email-json", "sms", "application", "lambda", "firehose":
		if t.fifo {
			return nil, InvalidParameter("Invalid parameter: Endpoint Reason: FIFO SNS topics can only have SQS queues as subscribers, not %s", protocol)
		}
	default:
		return nil, InvalidParameter("Amazon SNS does not support this protocol string: %s", protocol)
	}
	s := &Subscription{topic: t, protocol: protocol, endpoint: endpoint}
	if err := s.apply(attrs); err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, have := range t.subs {
		if have.protocol != protocol || have.endpoint != endpoint {
			continue
		}
		for k, v := range attrs {
			if !sameAttribute(k, have.attrs[k], v) {
				return nil, InvalidParameter("Attributes Reason: Subscription already exists with different attributes")
			}
		}
		return have, nil
	}
	s.arn = t.arn + ":" + uuid.NewString()
	t.subs = append(t.subs, s)
	return s, nil
}

// apply replaces all attributes by attrs, or returns an *Error InvalidParameter and changes nothing. topic.mu is
// locked, unless the subscription is new.
func (s *Subscription) apply(attrs map[string]string) error {
	next := Subscription{attrs: maps.Clone(attrs)}
	if next.attrs == nil {
		next.attrs = map[string]string{}
	}
	for k, v := range attrs {
		switch k {
		case "RawMessageDelivery":
			if v != "true" && v != "false" {
				return InvalidParameter("Attributes Reason: RawMessageDelivery: Invalid value [%s]. Must be true or false.", v)
			}
			next.raw = v == "true"
		case "FilterPolicy":
			if v == "" || v == "{}" {
				continue
			}
			f, err := parseFilter(v)
			if err != nil {
				return InvalidParameter("FilterPolicy: %s", err)
			}
			next.filter = f
		case "FilterPolicyScope":
			if v != "MessageAttributes" && v != "MessageBody" {
				return InvalidParameter("FilterPolicyScope: Invalid value [%s]. Please use either MessageBody or MessageAttributes", v)
			}
			next.filterBody = v == "MessageBody"
		case "RedrivePolicy":
			if v == "" || v == "{}" {
				continue
			}
			var p struct {
				Target string `json:"deadLetterTargetArn"`
			}
			if json.Unmarshal([]byte(v), &p) != nil || !strings.HasPrefix(p.Target, "arn:") {
				return InvalidParameter("RedrivePolicy: deadLetterTargetArn is an invalid arn")
			}
			if s.topic.fifo && strings.HasSuffix(s.endpoint, ".fifo") && !strings.HasSuffix(p.Target, ".fifo") {
				return InvalidParameter("RedrivePolicy: must use a FIFO queue as DLQ for a FIFO Subscription to a FIFO Topic.")
			}
			next.dlq = p.Target
		case "DeliveryPolicy", "SubscriptionRoleArn", "ReplayPolicy", "ReplayStatus":
		default:
			return InvalidParameter("AttributeName")
		}
	}
	s.attrs, s.raw, s.filter, s.filterBody, s.dlq = next.attrs, next.raw, next.filter, next.filterBody, next.dlq
	return nil
}

// Subscription finds a subscription by ARN, or returns the *Error InvalidParameter for a text that is no such ARN, and
// NotFound when there is no such subscription.
func (b *Broker) Subscription(arn string) (*Subscription, error) {
	cut := strings.LastIndexByte(arn, ':')
	if cut < 0 || strings.Count(arn, ":") != 6 {
		return nil, InvalidParameter("SubscriptionArn Reason: An ARN must have at least 6 elements, not %d", strings.Count(arn, ":")+1)
	}
	if t, err := b.Topic(arn[:cut]); err == nil {
		t.mu.Lock()
		defer t.mu.Unlock()
		for _, s := range t.subs {
			if s.arn == arn {
				return s, nil
			}
		}
	}
	return nil, NotFound("Subscription does not exist")
}

// Unsubscribe ends the subscription. Messages that lag are still delivered. Calling it again does nothing.
func (s *Subscription) Unsubscribe() {
	s.topic.mu.Lock()
	defer s.topic.mu.Unlock()
	s.topic.subs = slices.DeleteFunc(s.topic.subs, func(have *Subscription) bool { return have == s })
}

// SetAttribute changes one attribute; an empty value removes a policy. It returns an *Error InvalidParameter for an
// unknown attribute or a bad value.
func (s *Subscription) SetAttribute(name, value string) error {
	s.topic.mu.Lock()
	defer s.topic.mu.Unlock()
	attrs := maps.Clone(s.attrs)
	attrs[name] = value
	return s.apply(attrs)
}

// Attributes returns all attributes of the subscription.
func (s *Subscription) Attributes() map[string]string {
	s.topic.mu.Lock()
	defer s.topic.mu.Unlock()
	all := map[string]string{
		"SubscriptionArn": s.arn, "TopicArn": s.topic.arn, "Protocol": s.protocol, "Endpoint": s.endpoint,
		"Owner": s.topic.b.cfg.Account, "RawMessageDelivery": "false", "PendingConfirmation": "false",
		"ConfirmationWasAuthenticated": "true", "SubscriptionPrincipal": "arn:aws:iam::" + s.topic.b.cfg.Account + ":root",
	}
	maps.Copy(all, s.attrs)
	if s.filter != nil && all["FilterPolicyScope"] == "" {
		all["FilterPolicyScope"] = "MessageAttributes"
	}
	return all
}

// Subscriptions returns the topic's subscriptions in the order of their making.
func (t *Topic) Subscriptions() []*Subscription {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.subs)
}
