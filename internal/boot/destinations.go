package boot

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path"
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws/arn"

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
	// OnReject is what happens to a lane when one of its events becomes a dead letter: it goes on, or is blocked.
	OnReject relay.OnReject
	// MaxMessageBytes is the largest message that the destination accepts. Zero is the default of the sink.
	MaxMessageBytes int
}

// UnmarshalText reads the JSON of OUTBOX_DESTINATIONS, an object with at least one destination, into *d. Its
// error names every fault at once, and leaves *d as it was.
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
	for _, e := range entries {
		destination, err := parseDestination(e.value)
		if err != nil {
			faults = append(faults, fmt.Errorf("%q: %w", e.name, err))
			continue
		}
		if e.name == "" {
			faults = append(faults, errors.New("a destination has no name"))
		}
		if _, twice := parsed[e.name]; twice {
			faults = append(faults, fmt.Errorf("%q: is named twice", e.name))
		}
		parsed[e.name] = destination
	}
	if err := errors.Join(faults...); err != nil {
		return err
	}
	*d = parsed
	return nil
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
// and with on_reject (skip, the default, or block) and max_message_bytes (zero, the default, is that of the sink).
func parseDestination(value json.RawMessage) (Destination, error) {
	var long struct {
		ARN             string `json:"arn"`
		OnReject        string `json:"on_reject"`
		MaxMessageBytes int    `json:"max_message_bytes"`
	}
	if err := json.Unmarshal(value, &long.ARN); err != nil {
		decoder := json.NewDecoder(bytes.NewReader(value))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&long); err != nil {
			return Destination{}, fmt.Errorf("is neither an ARN nor an object with arn, on_reject and max_message_bytes: %w", err)
		}
	}
	d, err := parseTarget(long.ARN)
	if err != nil {
		return Destination{}, err
	}
	switch long.OnReject {
	case "", "skip":
		d.OnReject = relay.Skip
	case "block":
		d.OnReject = relay.Block
	default:
		return Destination{}, fmt.Errorf("on_reject: %q is neither skip nor block", long.OnReject)
	}
	if long.MaxMessageBytes < 0 {
		return Destination{}, fmt.Errorf("max_message_bytes: %d is negative", long.MaxMessageBytes)
	}
	d.MaxMessageBytes = long.MaxMessageBytes
	return d, nil
}

// fifoName matches the name of a FIFO topic or queue. SNS allows 256 characters with the suffix, SQS fewer.
var fifoName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,251}\.fifo$`)

var (
	errNotFIFO = errors.New("is not FIFO: only FIFO topics and queues, whose names end in .fifo, keep order")
	errTarget  = errors.New("is not the ARN of an SNS topic or an SQS queue, nor a queue URL")
)

// parseTarget reads the ARN of a topic or queue, or a queue URL. What is not FIFO is an error.
func parseTarget(target string) (Destination, error) {
	if strings.HasPrefix(target, "https://") || strings.HasPrefix(target, "http://") {
		return parseQueueURL(target)
	}
	a, err := arn.Parse(target)
	if err != nil || a.Region == "" || a.AccountID == "" || strings.Contains(a.AccountID, "/") {
		return Destination{}, fmt.Errorf("%q: %w", target, errTarget)
	}
	switch a.Service {
	case "sns", "sqs":
		if !fifoName.MatchString(a.Resource) {
			return Destination{}, fmt.Errorf("%q: %w", target, errNotFIFO)
		}
	default:
		return Destination{}, fmt.Errorf("%q: %w", target, errTarget)
	}
	if a.Service == "sns" {
		return Destination{TopicARN: target, Region: a.Region}, nil
	}
	suffix, err := dnsSuffix(a.Partition)
	if err != nil {
		return Destination{}, fmt.Errorf("%q: %w", target, err)
	}
	queue := url.URL{Scheme: "https", Host: "sqs." + a.Region + "." + suffix, Path: "/" + a.AccountID + "/" + a.Resource}
	return Destination{QueueURL: queue.String(), Region: a.Region}, nil
}

// parseQueueURL reads a queue URL. Its region is that of a host of the form sqs.<region>.<domain>, else empty.
func parseQueueURL(target string) (Destination, error) {
	u, err := url.Parse(target)
	if err != nil || u.Host == "" {
		return Destination{}, fmt.Errorf("%q: %w", target, errTarget)
	}
	if !fifoName.MatchString(path.Base(u.Path)) {
		return Destination{}, fmt.Errorf("%q: %w", target, errNotFIFO)
	}
	d := Destination{QueueURL: target}
	if host := strings.Split(u.Hostname(), "."); len(host) > 2 && host[0] == "sqs" && strings.Count(host[1], "-") >= 2 {
		d.Region = host[1]
	}
	return d, nil
}

// dnsSuffix returns the domain of AWS in a partition, such as amazonaws.com in aws, as the SDK's endpoint rulesets
// have it. A partition that is not in the list is an error.
func dnsSuffix(partition string) (string, error) {
	switch partition {
	case "aws", "aws-us-gov":
		return "amazonaws.com", nil
	case "aws-cn":
		return "amazonaws.com.cn", nil
	case "aws-eusc":
		return "amazonaws.eu", nil
	case "aws-iso":
		return "c2s.ic.gov", nil
	case "aws-iso-b":
		return "sc2s.sgov.gov", nil
	case "aws-iso-e":
		return "cloud.adc-e.uk", nil
	case "aws-iso-f":
		return "csp.hci.ic.gov", nil
	}
	return "", fmt.Errorf("the partition %q is not known: give the queue URL instead", partition)
}
