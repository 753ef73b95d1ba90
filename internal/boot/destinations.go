package boot

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

// Destinations are the destinations by the names that events give.
type Destinations map[string]Destination

// Destination is a FIFO topic or queue, and how the relay sends to it. Either TopicARN or QueueURL is set.
type Destination struct {
	// TopicARN is the ARN of the topic, empty for a queue.
	TopicARN string
	// QueueURL is the URL of the queue, empty for a topic.
	QueueURL string
	// Region is the AWS region of the topic or queue, empty for the function's own.
	Region string
	// Endpoint is the scheme and the host to call a queue at, empty for the usual endpoint of the region. The
	// variables AWS_ENDPOINT_URL and AWS_ENDPOINT_URL_SQS take the place of both.
	Endpoint string
	// OnReject is what happens to a lane when one of its events becomes a dead letter: it goes on, or is blocked.
	OnReject relay.OnReject
	// MaxMessageBytes is the largest message that the destination accepts. Zero is the default of the sink.
	MaxMessageBytes int
	// HeaderAttributes are the headers that are attributes of their own: see [outbox.Encoder].
	HeaderAttributes []string
}

// UnmarshalText reads the JSON of OUTBOX_DESTINATIONS, an object with at least one destination, into *d. Its
// error names every fault at once, and leaves *d as it was. Two names for one topic or queue are a fault: their lanes
// would have one group at the broker and no order between them.
func (d *Destinations) UnmarshalText(text []byte) error {
	entries, err := objectEntries(text)
	if err != nil {
		return err
	}
	if len(entries) == 0 {
		return errors.New("no destination is named")
	}
	parsed := make(Destinations, len(entries))
	var faults []error
	names := make(map[string]string, len(entries))
	var targets []namedTarget
	for _, e := range entries {
		if err := checkName(e.name); err != nil {
			faults = append(faults, fmt.Errorf("%q: %w", e.name, err))
		}
		alike := likeness(e.name)
		if first, twice := names[alike]; twice && first == e.name {
			faults = append(faults, fmt.Errorf("%q: is named twice: take one of the two out", e.name))
		} else if twice {
			faults = append(faults, fmt.Errorf("%q: differs from %q by blanks or by the form of its characters alone: give it another name", e.name, first))
		}
		names[alike] = e.name
		destination, err := parseDestination(e.value)
		if err != nil {
			faults = append(faults, fmt.Errorf("%q: %w", e.name, err))
			continue
		}
		parsed[e.name] = destination.Destination
		destination.name = e.name
		for i := range targets {
			if err := targets[i].collision(&destination); err != nil {
				faults = append(faults, err)
			}
		}
		targets = append(targets, destination)
	}
	if err := errors.Join(faults...); err != nil {
		return err
	}
	*d = parsed
	return nil
}

// checkName returns what is wrong with the name of a destination, nil when events can give it and are likely to.
func checkName(name string) error {
	switch {
	case name == "":
		return errors.New("a destination has no name: events without one go to default")
	case utf8.RuneCountInString(name) > outbox.MaxNameLength:
		return fmt.Errorf("the name has more than the %d characters that events may give", outbox.MaxNameLength)
	case strings.ContainsFunc(name, func(r rune) bool { return unicode.IsControl(r) || r == utf8.RuneError }):
		return errors.New("the name has control characters or is not UTF-8: give it another one")
	case strings.TrimSpace(name) != name:
		return errors.New("the name has blanks at its ends, and events would have to give them too: take them out")
	case !norm.NFC.IsNormalString(name):
		return errors.New("the name is not in the Unicode form NFC, which keyboards write: type it anew")
	}
	return nil
}

// likeness returns the name without blanks, in the Unicode form NFKC. Names of the same likeness look alike.
func likeness(name string) string {
	return strings.Join(strings.Fields(norm.NFKC.String(name)), "")
}

// objectEntry is one member of a JSON object.
type objectEntry struct {
	name  string
	value json.RawMessage
}

// objectEntries returns the members of a JSON object in their order. A name that comes twice, which decoding into a
// map would hide, has two entries. Text that is anything but one object is an error.
func objectEntries(text []byte) ([]objectEntry, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	if t, err := decoder.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.New("is not a JSON object")
	}
	var entries []objectEntry
	for decoder.More() {
		t, err := decoder.Token()
		if err != nil {
			return nil, fmt.Errorf("is not a JSON object: %w", err)
		}
		name, ok := t.(string)
		if !ok {
			return nil, errors.New("is not a JSON object")
		}
		e := objectEntry{name: name}
		if err := decoder.Decode(&e.value); err != nil {
			return nil, fmt.Errorf("is not a JSON object: %w", err)
		}
		entries = append(entries, e)
	}
	if _, err := decoder.Token(); err != nil {
		return nil, fmt.Errorf("is not a JSON object: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("has more behind the JSON object")
	}
	return entries, nil
}

// parseDestination reads one destination: a string with an ARN or a queue URL, or an object with that string as arn,
// and with on_reject (skip, the default, or block), max_message_bytes (zero, the default, is that of the sink) and
// header_attributes. A key that is none of these, in upper or lower case, or that comes twice, is an error.
func parseDestination(value json.RawMessage) (namedTarget, error) {
	var where string
	if json.Unmarshal(value, &where) == nil && string(value) != "null" {
		return parseTarget(where)
	}
	members, err := objectEntries(value)
	if err != nil {
		return namedTarget{}, fmt.Errorf("is neither an ARN nor an object with %s", keys)
	}
	var onReject string
	var maxBytes int
	var attributes []string
	var faults []error
	seen := make(map[string]bool, len(members))
	for _, m := range members {
		if seen[m.name] {
			faults = append(faults, fmt.Errorf("%s: comes twice: take one of the two out", m.name))
			continue
		}
		seen[m.name] = true
		switch m.name {
		case "arn":
			err = decode(m.value, &where, "a string")
		case "on_reject":
			if err = decode(m.value, &onReject, "a string"); err == nil && onReject != "skip" && onReject != "block" {
				err = fmt.Errorf("%q is neither skip nor block", onReject)
			}
		case "max_message_bytes":
			if err = decode(m.value, &maxBytes, "a whole number"); err == nil && maxBytes != 0 && (maxBytes < minMessageBytes || maxBytes > outbox.MaxMessageBytes) {
				err = fmt.Errorf("%d is not between %d and %d, the bounds of a topic and of a queue", maxBytes, minMessageBytes, outbox.MaxMessageBytes)
			}
		case "header_attributes":
			if err = decode(m.value, &attributes, "a list of strings"); err == nil {
				err = outbox.Encoder{HeaderAttributes: attributes}.Validate()
			}
		default:
			err = fmt.Errorf("is no key of a destination: the keys are %s", keys)
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", m.name, err))
		}
	}
	if err = errors.Join(faults...); err != nil {
		return namedTarget{}, err
	}
	t, err := parseTarget(where)
	if err != nil {
		return namedTarget{}, err
	}
	if onReject == "block" {
		t.OnReject = relay.Block
	}
	t.MaxMessageBytes = maxBytes
	t.HeaderAttributes = attributes
	return t, nil
}

const (
	keys = "arn, on_reject, max_message_bytes and header_attributes"
	// minMessageBytes is the least MaximumMessageSize of a topic and of a queue (API references, CreateTopic and
	// CreateQueue).
	minMessageBytes = 1024
)

// decode decodes value, which must be what the text kind says, into *to. A null is an error.
func decode[T any](value json.RawMessage, to *T, kind string) error {
	if string(value) == "null" || json.Unmarshal(value, to) != nil {
		return fmt.Errorf("is not %s", kind)
	}
	return nil
}
