package boot

import (
	"errors"
	"fmt"
	"regexp"

	"github.com/aws/aws-sdk-go-v2/aws/arn"

	"github.com/serverless-outbox/serverless-outbox/internal/aws/queueurl"
)

// namedTarget is a destination, and what tells whether another one is the same topic or queue.
type namedTarget struct {
	Destination

	// name is the name that events give.
	name string
	// resource names the topic or queue within its region: service, account and name.
	resource string
}

// fifoName matches the name of a FIFO topic or queue. SNS allows 256 characters with the suffix, SQS fewer.
var fifoName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,251}\.fifo$`)

var (
	errNotFIFO = errors.New("is not FIFO: only FIFO topics and queues, whose names end in .fifo, keep order")
	errTarget  = errors.New("is not the ARN of an SNS topic or an SQS queue, nor a queue URL")
)

// parseTarget reads the ARN of a topic or queue, or a queue URL. What is not FIFO is an error.
func parseTarget(text string) (namedTarget, error) {
	if queueurl.IsURL(text) {
		q, err := queueurl.Parse(text)
		if err != nil {
			return namedTarget{}, err // without the text, which may have a password
		}
		if !fifoName.MatchString(q.Name) {
			return namedTarget{}, fmt.Errorf("%q: %w", text, errNotFIFO)
		}
		return queueTarget(&q), nil
	}
	a, err := arn.Parse(text)
	if err != nil || a.Service != "sns" && a.Service != "sqs" {
		return namedTarget{}, fmt.Errorf("%q: %w", text, errTarget)
	}
	if err = queueurl.CheckARN(&a); err != nil {
		return namedTarget{}, fmt.Errorf("%q: %w", text, err)
	}
	if !fifoName.MatchString(a.Resource) {
		return namedTarget{}, fmt.Errorf("%q: %w", text, errNotFIFO)
	}
	if a.Service == "sns" {
		return namedTarget{Destination: Destination{TopicARN: text, Region: a.Region}, resource: "sns:" + a.AccountID + ":" + a.Resource}, nil
	}
	q, err := queueurl.OfARN(&a)
	if err != nil {
		return namedTarget{}, fmt.Errorf("%q: %w", text, err)
	}
	return queueTarget(&q), nil
}

// queueTarget returns the target that is the queue q.
func queueTarget(q *queueurl.Queue) namedTarget {
	return namedTarget{
		Destination: Destination{QueueURL: q.URL, Region: q.Region, Endpoint: q.Endpoint},
		resource:    "sqs:" + q.Account + ":" + q.Name,
	}
}

// collision returns an error when t and other are one topic or queue, or may be: one of the URLs does not tell its
// region.
func (t *namedTarget) collision(other *namedTarget) error {
	if t.name == other.name || t.resource != other.resource {
		return nil
	}
	switch {
	case t.Region == other.Region:
		return fmt.Errorf("%q and %q are one topic or queue, in which the events of an aggregate would lose their order: take one of the two out", t.name, other.name)
	case t.Region == "" || other.Region == "":
		return fmt.Errorf("%q and %q may be one queue, in which the events of an aggregate would lose their order: give ARNs, which name the region", t.name, other.name)
	}
	return nil
}
