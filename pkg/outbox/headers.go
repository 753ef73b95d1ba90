package outbox

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Keys of Headers that carry the W3C trace context.
const (
	HeaderTraceparent = "traceparent"
	HeaderTracestate  = "tracestate"
)

// MaxHeaderAttributes is the most headers that can be attributes of their own, so that no message has more than
// [MaxAttributes].
const MaxHeaderAttributes = 2

// attributeName matches the names that SQS takes for an attribute, if they do not begin with "aws." or "amazon."
// (MessageAttributeValue reference). It does not bound their length.
var attributeName = regexp.MustCompile(`^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$`)

// Validate returns the faults of HeaderAttributes, joined, nil when there is none: more than [MaxHeaderAttributes]
// names, and a name that comes twice, that brokers refuse for an attribute or that another attribute has.
func (c Encoder) Validate() error {
	others := []string{
		AttributeAggregateID, AttributeAggregateType, AttributeCreatedAt, AttributeEventID, AttributeEventType,
		AttributeHeaders, AttributeRedrives, AttributeReplay, AttributeSequence,
	}
	var faults []error
	if n := len(c.HeaderAttributes); n > MaxHeaderAttributes {
		faults = append(faults, fmt.Errorf("%d names: choose at most %d, because SNS drops a message with more than %d attributes", n, MaxHeaderAttributes, MaxAttributes))
	}
	for i, name := range c.HeaderAttributes {
		lower := strings.ToLower(name)
		switch {
		case len(name) > 256 || !attributeName.MatchString(name) || strings.HasPrefix(lower, "aws.") || strings.HasPrefix(lower, "amazon."):
			faults = append(faults, fmt.Errorf("%q cannot be the name of an attribute: use at most 256 letters, digits and - _ . of ASCII, and not aws. or amazon. in front", name))
		case slices.Contains(others, lower):
			faults = append(faults, fmt.Errorf("%q is the name of another attribute: rename the header", name))
		case slices.Contains(c.HeaderAttributes[:i], name):
			faults = append(faults, fmt.Errorf("%q is named twice", name))
		}
	}
	return errors.Join(faults...)
}

// appendChosen returns own with the headers appended that become attributes of their own, in the order of
// c.HeaderAttributes: those that have a value, and one that brokers take.
func (c Encoder) appendChosen(own []Attribute, headers map[string]string) []Attribute {
	if len(headers) == 0 {
		return own
	}
	names := c.HeaderAttributes
	if names == nil {
		names = []string{HeaderTraceparent}
	}
	for _, name := range names {
		if value := headers[name]; value != "" && badCharacter(value) < 0 {
			own = append(own, Attribute{Name: name, Value: value})
		}
	}
	return own
}

// form returns the value of the attribute "headers": the headers that are not among own, sorted by key, each as
// <key>=<value>, joined by &. Of keys and values all bytes but ASCII letters, digits and - . _ ~ are replaced by % and
// two hexadecimal digits. The result is empty when there are no such headers.
func form(headers map[string]string, own []Attribute) string {
	if len(headers) == len(own) {
		return ""
	}
	keys := make([]string, 0, len(headers)-len(own))
	size := 0
	for key, value := range headers {
		if !slices.ContainsFunc(own, func(a Attribute) bool { return a.Name == key }) {
			keys = append(keys, key)
			size += len(key) + len(value) + 2
		}
	}
	slices.Sort(keys)
	b := make([]byte, 0, size+size/4)
	for i, key := range keys {
		if i > 0 {
			b = append(b, '&')
		}
		b = appendEscaped(b, key)
		b = append(b, '=')
		b = appendEscaped(b, headers[key])
	}
	return string(b)
}

// appendEscaped returns b with s appended, percent-encoded as form says. All of url.QueryUnescape, decodeURIComponent
// and their like read it back.
func appendEscaped(b []byte, s string) []byte {
	const digits = "0123456789ABCDEF"
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '.', c == '_', c == '~':
			b = append(b, c)
		default:
			b = append(b, '%', digits[c>>4], digits[c&15])
		}
	}
	return b
}
