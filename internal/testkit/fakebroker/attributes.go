package fakebroker

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// settings are the attributes of a queue in the form that its code uses.
type settings struct {
	// visibility, delay and wait are for sends and receives that do not say otherwise, retention is for all messages.
	visibility, delay, retention, wait time.Duration
	// maxBytes is the limit of one message.
	maxBytes int
	// contentDedup makes the deduplication id of the body where a message has none; groupScope compares ids within a
	// message group only.
	contentDedup, groupScope bool
	// redrive is nil when the queue has no dead-letter queue.
	redrive *redrivePolicy
}

// redrivePolicy moves a message that was received max times and is due again to the queue whose ARN is target.
type redrivePolicy struct {
	target string
	max    int
}

// defaultAttributes returns the attributes of a new queue, by name, where the request gives no others.
func defaultAttributes(fifo bool) map[string]string {
	m := map[string]string{
		"VisibilityTimeout": "30", "DelaySeconds": "0", "MessageRetentionPeriod": "345600",
		"MaximumMessageSize": strconv.Itoa(MaxQueueBytes), "ReceiveMessageWaitTimeSeconds": "0",
		"SqsManagedSseEnabled": "true",
	}
	if fifo {
		maps.Copy(m, map[string]string{
			"FifoQueue": "true", "ContentBasedDeduplication": "false",
			"DeduplicationScope": "queue", "FifoThroughputLimit": "perQueue",
		})
	}
	return m
}

// parseSettings checks the attributes of the queue called name: all has every value that the queue would have, given
// those that the request names. It returns all as settings, or an *Error for a name in given or a value in all that is
// not allowed. Values that the fake does not act on are not checked. The caller must not hold b.mu.
func (b *Broker) parseSettings(name string, fifo bool, all, given map[string]string) (s settings, err error) {
	for k := range given {
		if err = checkAttributeName(k, fifo); err != nil {
			return s, err
		}
	}
	number := func(attr string, lo, hi int) int {
		n, convErr := strconv.Atoi(all[attr])
		if (convErr != nil || n < lo || n > hi) && err == nil {
			err = InvalidAttributeValue("Invalid value for the parameter %s.", attr)
		}
		return n
	}
	seconds := func(attr string, lo, hi int) time.Duration {
		return time.Duration(number(attr, lo, hi)) * time.Second
	}
	s.visibility = seconds("VisibilityTimeout", 0, 43200)
	s.delay = seconds("DelaySeconds", 0, 900)
	s.retention = seconds("MessageRetentionPeriod", 60, 1209600)
	s.wait = seconds("ReceiveMessageWaitTimeSeconds", 0, 20)
	s.maxBytes = number("MaximumMessageSize", 1024, MaxQueueBytes)
	if err != nil {
		return s, err
	}
	if fifo {
		if err = s.parseFIFO(all); err != nil {
			return s, err
		}
	}
	if policy := all["RedrivePolicy"]; policy != "" {
		s.redrive, err = b.parseRedrive(name, fifo, policy)
	}
	return s, err
}

// parseFIFO checks the attributes that only a FIFO queue has and sets contentDedup and groupScope.
func (s *settings) parseFIFO(all map[string]string) error {
	oneOf := func(attr string, values ...string) error {
		if !slices.Contains(values, all[attr]) {
			return InvalidAttributeValue("Invalid value for the parameter %s.", attr)
		}
		return nil
	}
	if err := oneOf("ContentBasedDeduplication", "true", "false"); err != nil {
		return err
	}
	if err := oneOf("DeduplicationScope", "queue", "messageGroup"); err != nil {
		return err
	}
	if err := oneOf("FifoThroughputLimit", "perQueue", "perMessageGroupId"); err != nil {
		return err
	}
	s.contentDedup = all["ContentBasedDeduplication"] == "true"
	s.groupScope = all["DeduplicationScope"] == "messageGroup"
	if all["FifoThroughputLimit"] == "perMessageGroupId" && !s.groupScope {
		return InvalidAttributeValue("Invalid value for the parameter FifoThroughputLimit. Reason: perMessageGroupId is allowed only when the value for DeduplicationScope is messageGroup.")
	}
	return nil
}

// checkAttributeName returns an *Error unless a request may set the attribute called name of a queue that is FIFO or
// not, as fifo says.
func checkAttributeName(name string, fifo bool) error {
	switch name {
	case "VisibilityTimeout", "DelaySeconds", "MessageRetentionPeriod", "ReceiveMessageWaitTimeSeconds",
		"MaximumMessageSize", "RedrivePolicy", "RedriveAllowPolicy", "Policy", "KmsMasterKeyId",
		"KmsDataKeyReusePeriodSeconds", "SqsManagedSseEnabled":
		return nil
	case "FifoQueue", "ContentBasedDeduplication", "DeduplicationScope", "FifoThroughputLimit":
		if !fifo {
			return InvalidAttributeName("You can specify the %s only when FifoQueue is set to true.", name)
		}
		return nil
	}
	return InvalidAttributeName("Unknown Attribute %s.", name)
}

// parseRedrive reads the RedrivePolicy of the queue called name, JSON. It returns an *Error for a policy that is
// malformed, and unless the dead-letter queue is another one, exists and is of the same type, FIFO or standard.
func (b *Broker) parseRedrive(name string, fifo bool, policy string) (*redrivePolicy, error) {
	var p struct {
		Target string `json:"deadLetterTargetArn"`
		Max    any    `json:"maxReceiveCount"`
	}
	bad := func(reason string) error {
		return InvalidParameterValue("Value %s for parameter RedrivePolicy is invalid. Reason: %s", policy, reason)
	}
	if json.Unmarshal([]byte(policy), &p) != nil {
		return nil, InvalidAttributeValue("Invalid value for the parameter RedrivePolicy.")
	}
	limit, err := strconv.Atoi(strings.TrimSuffix(jsonScalar(p.Max), ".0"))
	switch {
	case p.Target == "":
		return nil, bad("Redrive policy does not contain mandatory attribute: deadLetterTargetArn.")
	case p.Max == nil:
		return nil, bad("Redrive policy does not contain mandatory attribute: maxReceiveCount.")
	case err != nil || limit < 1 || limit > 1000:
		return nil, bad("Invalid value for maxReceiveCount: " + jsonScalar(p.Max) + ", valid values are from 1 to 1000 both inclusive.")
	case strings.HasSuffix(p.Target, ".fifo") != fifo:
		return nil, bad("Dead-letter queue must be same type of queue as the source.")
	case p.Target == b.QueueARN(name):
		return nil, bad("Dead letter target cannot be the queue itself.")
	}
	if q, err := b.Queue(p.Target); err != nil || q.arn != p.Target {
		return nil, bad("Dead letter target does not exist.")
	}
	return &redrivePolicy{target: p.Target, max: limit}, nil
}

// jsonScalar returns a string as it is, and any other value of decoded JSON as JSON.
func jsonScalar(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	raw, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	return string(raw)
}

// sameAttribute reports whether a and b are the same value of the attribute called name. If the name ends in "Policy"
// the values are compared as JSON objects.
func sameAttribute(name, a, b string) bool {
	if a == b {
		return true
	}
	if !strings.HasSuffix(name, "Policy") {
		return false
	}
	var x, y map[string]any
	if json.Unmarshal([]byte(a), &x) != nil || json.Unmarshal([]byte(b), &y) != nil || len(x) != len(y) {
		return false
	}
	for k := range x {
		if jsonScalar(x[k]) != jsonScalar(y[k]) {
			return false
		}
	}
	return true
}

// SetAttributes changes the given attributes of the queue. An empty value removes an attribute. It returns an *Error,
// and changes nothing, when one is unknown, has a bad value, or is FifoQueue with another value.
func (q *Queue) SetAttributes(given map[string]string) error {
	q.mu.Lock()
	all := maps.Clone(q.attrs)
	q.mu.Unlock()
	for k, v := range given {
		if k == "FifoQueue" && v != all[k] {
			return InvalidAttributeName("Unknown Attribute FifoQueue.")
		}
		all[k] = v
		if v == "" {
			delete(all, k)
		}
	}
	parsed, err := q.b.parseSettings(q.name, q.fifo, all, given)
	if err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.attrs, q.settings, q.modified = all, parsed, q.b.now()
	return nil
}

// Attributes returns the named attributes of the queue, or all when the names contain "All". A known attribute that
// the queue does not have is left out; an unknown name is an *Error.
func (q *Queue) Attributes(names []string) (map[string]string, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	counts := q.counts()
	all := maps.Clone(q.attrs)
	maps.Copy(all, map[string]string{
		"QueueArn":                              q.arn,
		"ApproximateNumberOfMessages":           strconv.Itoa(counts.Visible),
		"ApproximateNumberOfMessagesNotVisible": strconv.Itoa(counts.InFlight),
		"ApproximateNumberOfMessagesDelayed":    strconv.Itoa(counts.Delayed),
		"CreatedTimestamp":                      strconv.FormatInt(q.created/int64(time.Second), 10),
		"LastModifiedTimestamp":                 strconv.FormatInt(q.modified/int64(time.Second), 10),
	})
	if slices.Contains(names, "All") {
		return all, nil
	}
	out := map[string]string{}
	for _, n := range names {
		v, ok := all[n]
		if !ok {
			if checkAttributeName(n, true) != nil {
				return nil, InvalidAttributeName("Unknown Attribute %s.", n)
			}
			continue
		}
		out[n] = v
	}
	return out, nil
}

// DeadLetterTarget returns the ARN of the queue's dead-letter queue, or "".
func (q *Queue) DeadLetterTarget() string {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.settings.redrive == nil {
		return ""
	}
	return q.settings.redrive.target
}

// Tags returns a copy of the tags.
func (q *Queue) Tags() map[string]string {
	q.mu.Lock()
	defer q.mu.Unlock()
	return maps.Clone(q.tags)
}

// Tag adds tags and then removes the named ones.
func (q *Queue) Tag(add map[string]string, remove []string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.tags = changed(q.tags, add, remove)
}

// changed returns a copy of tags with those of add added, and then the ones named in remove removed.
func changed(tags, add map[string]string, remove []string) map[string]string {
	all := map[string]string{}
	maps.Copy(all, tags)
	maps.Copy(all, add)
	for _, k := range remove {
		delete(all, k)
	}
	return all
}
