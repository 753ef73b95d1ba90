package sqsdlq

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/serverless-outbox/serverless-outbox/internal/aws/queueurl"
	"github.com/serverless-outbox/serverless-outbox/internal/redrive/dlq"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

// Messages is the part of [sqs.Client] that receives, hides, deletes and sends messages. The client must not retry by
// itself: the engine repeats calls where that does no harm.
type Messages interface {
	QueueClient
	TargetClient
}

// SQS is the part of [sqs.Client] that looks queues up.
type SQS interface {
	sqs.ListDeadLetterSourceQueuesAPIClient
	GetQueueAttributes(ctx context.Context, in *sqs.GetQueueAttributesInput, opts ...func(*sqs.Options)) (*sqs.GetQueueAttributesOutput, error)
	GetQueueUrl(ctx context.Context, in *sqs.GetQueueUrlInput, opts ...func(*sqs.Options)) (*sqs.GetQueueUrlOutput, error)
}

// SNS is the part of [sns.Client] that looks subscriptions up.
type SNS interface {
	sns.ListSubscriptionsAPIClient
	GetSubscriptionAttributes(ctx context.Context, in *sns.GetSubscriptionAttributesInput, opts ...func(*sns.Options)) (*sns.GetSubscriptionAttributesOutput, error)
}

// Finder finds the route from a dead-letter queue to the queue that failed. It is safe for concurrent use.
type Finder struct {
	// SQS and SNS look queues and subscriptions up. Both are required. These clients may retry.
	SQS SQS
	SNS SNS
	// Messages is the client with which the queues of a route receive and send. It is required.
	Messages Messages
}

// ErrNoTarget is the error of Find, wrapped, when redrive policies name no queue, or several, that failed into the
// dead-letter queue. The error that wraps it lists the several ones.
var ErrNoTarget = errors.New("name the queue to send to as `send_to`")

// Find returns the route from a dead-letter queue to the queue that failed:
//
//   - the one queue whose RedrivePolicy names the dead-letter queue (ListDeadLetterSourceQueues), or else
//   - the one queue with subscriptions to topics whose RedrivePolicy names the dead-letter queue.
//
// When sendTo is not empty, the route leads to that queue instead, and messages are sent as they are in the dead-letter
// queue. queue and sendTo are URLs, ARNs or names. Find fails when they are not two different FIFO queues, and when no
// queue or several queues failed into the dead-letter queue (ErrNoTarget).
func (f *Finder) Find(ctx context.Context, queue, sendTo string) (dlq.Route, error) {
	dead, err := f.describe(ctx, queue)
	if err != nil {
		return dlq.Route{}, fmt.Errorf("dead-letter queue: %w", err)
	}
	route := dlq.Route{Queue: NewQueue(f.Messages, dead.url), Gauge: NewQueue(f.Messages, dead.url), QueueName: dead.name(), QueueARN: dead.arn}
	if dead.redrives {
		route.Notes = append(route.Notes, "the dead-letter queue has one of its own: every receive counts towards moving a message there")
	}
	var target *description
	if sendTo != "" {
		target, err = f.describe(ctx, sendTo)
	} else {
		target, route.Subscriptions, err = f.failed(ctx, dead)
		if err == nil && len(route.Subscriptions) == 0 {
			route.FailedARN = target.arn
		}
	}
	if err != nil {
		return dlq.Route{}, fmt.Errorf("queue to send to: %w", err)
	}
	if target.arn == dead.arn {
		return dlq.Route{}, fmt.Errorf("queue to send to: %s is the dead-letter queue itself", target.name())
	}
	route.Target = NewTarget(f.Messages, target.url, target.messageBytes)
	route.TargetName, route.TargetARN = target.name(), target.arn
	return route, nil
}

// failed finds the one queue whose failed messages go to the dead-letter queue dead: by the redrive policies of queues,
// and then it returns no subscriptions, or else by those of subscriptions, which it returns with the queue. It fails
// with ErrNoTarget when there is no such queue, and when there are several.
func (f *Finder) failed(ctx context.Context, dead *description) (*description, []dlq.Subscription, error) {
	var subscriptions []dlq.Subscription
	var refs []string
	relation := "dead-letter queue of"
	sources := sqs.NewListDeadLetterSourceQueuesPaginator(f.SQS, &sqs.ListDeadLetterSourceQueuesInput{QueueUrl: &dead.url})
	for sources.HasMorePages() {
		page, err := sources.NextPage(ctx)
		if err != nil {
			return nil, nil, fmt.Errorf("find the queue that failed (or name one as `send_to`): %w", err)
		}
		refs = append(refs, page.QueueUrls...)
	}
	if len(refs) == 0 {
		var err error
		if refs, subscriptions, err = f.subscribed(ctx, dead.arn); err != nil {
			return nil, nil, fmt.Errorf("find the subscription that failed (or name a queue as `send_to`): %w", err)
		}
		relation = "dead-letter queue of subscriptions of"
	}
	switch len(refs) {
	case 0:
		return nil, nil, fmt.Errorf("no queue and no subscription has the dead-letter queue %s: %w", dead.name(), ErrNoTarget)
	case 1:
		target, err := f.describe(ctx, refs[0])
		return target, subscriptions, err
	}
	slices.Sort(refs)
	return nil, nil, fmt.Errorf("it is the %s %d queues, %s: %w", relation, len(refs), strings.Join(refs, ", "), ErrNoTarget)
}

// subscribed returns the ARNs of the queues, each once, that have subscriptions to FIFO topics whose
// RedrivePolicy names the dead-letter queue deadARN, and these subscriptions.
func (f *Finder) subscribed(ctx context.Context, deadARN string) ([]string, []dlq.Subscription, error) {
	var endpoints []string
	var found []dlq.Subscription
	pages := sns.NewListSubscriptionsPaginator(f.SNS, &sns.ListSubscriptionsInput{})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, nil, err
		}
		for i := range page.Subscriptions {
			s := &page.Subscriptions[i]
			// A FIFO dead-letter queue belongs to subscriptions of FIFO topics only (SNS developer guide, dead-letter
			// queues): the attributes of all others are not read.
			if aws.ToString(s.Protocol) != "sqs" || !strings.HasSuffix(aws.ToString(s.TopicArn), ".fifo") || !strings.HasPrefix(aws.ToString(s.SubscriptionArn), "arn:") {
				continue
			}
			out, err := f.SNS.GetSubscriptionAttributes(ctx, &sns.GetSubscriptionAttributesInput{SubscriptionArn: s.SubscriptionArn})
			if err != nil {
				return nil, nil, err
			}
			var policy struct{ DeadLetterTargetArn string }
			if json.Unmarshal([]byte(out.Attributes["RedrivePolicy"]), &policy) != nil || policy.DeadLetterTargetArn != deadARN {
				continue
			}
			found = append(found, dlq.Subscription{
				TopicARN: aws.ToString(s.TopicArn), Raw: out.Attributes["RawMessageDelivery"] == "true",
			})
			if endpoint := aws.ToString(s.Endpoint); !slices.Contains(endpoints, endpoint) {
				endpoints = append(endpoints, endpoint)
			}
		}
	}
	return endpoints, found, nil
}

// description is what SQS says about a queue.
type description struct {
	url, arn string
	// messageBytes is the most bytes of a message that the queue accepts, at most [outbox.MaxMessageBytes].
	messageBytes int
	// redrives is true when the queue has a dead-letter queue of its own.
	redrives bool
}

// name returns the name of the queue, which is the last part of its ARN.
func (d *description) name() string { return d.arn[strings.LastIndexByte(d.arn, ':')+1:] }

var errNotFIFO = errors.New("is not FIFO: a standard queue keeps no order, and StartMessageMoveTask of SQS moves its messages as well")

// reference is what a request says about a queue. Account and region are empty where it does not say them.
type reference struct{ account, region, name string }

// refer reads a queue's URL, ARN or name. It errs for what begins as a URL or an ARN and is none of a queue.
func refer(ref string) (reference, error) {
	switch {
	case queueurl.IsURL(ref):
		q, err := queueurl.Parse(ref)
		if err != nil {
			return reference{}, fmt.Errorf("the queue %w", err) // without the URL, which may have a password
		}
		return reference{account: q.Account, region: q.Region, name: q.Name}, nil
	case strings.HasPrefix(ref, "arn:"):
		a, err := arn.Parse(ref)
		if err != nil || a.Service != "sqs" {
			return reference{}, fmt.Errorf("%q is not the ARN of a queue", ref)
		}
		return reference{account: a.AccountID, region: a.Region, name: a.Resource}, nil
	}
	return reference{name: ref}, nil
}

// covers reports whether queue, the ARN of a queue, is one that r may mean.
func (r reference) covers(queue string) bool {
	a, err := arn.Parse(queue)
	return err == nil && a.Resource == r.name && (r.account == "" || r.account == a.AccountID) && (r.region == "" || r.region == a.Region)
}

// describe looks a queue up by ref, its URL, ARN or name. A queue that is not FIFO, and a URL or an ARN of another
// account or Region, is an error.
func (f *Finder) describe(ctx context.Context, ref string) (*description, error) {
	meant, err := refer(ref)
	if err != nil {
		return nil, err
	}
	// By its name alone a queue is found in the account and the Region of the client only.
	found, err := f.SQS.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: &meant.name})
	if err != nil {
		return nil, fmt.Errorf("%q: %w", ref, err)
	}
	d := &description{url: aws.ToString(found.QueueUrl)}
	out, err := f.SQS.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
		QueueUrl: &d.url, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameAll},
	})
	if err != nil {
		return nil, fmt.Errorf("%q: %w", ref, err)
	}
	d.arn = out.Attributes[string(types.QueueAttributeNameQueueArn)]
	if !meant.covers(d.arn) {
		return nil, fmt.Errorf("%q: the queue of that name here is %s: queues must be in the account and Region of the function", ref, d.arn)
	}
	if out.Attributes[string(types.QueueAttributeNameFifoQueue)] != "true" {
		return nil, fmt.Errorf("%q: %w", ref, errNotFIFO)
	}
	d.redrives = out.Attributes[string(types.QueueAttributeNameRedrivePolicy)] != ""
	d.messageBytes = outbox.MaxMessageBytes
	if n, err := strconv.Atoi(out.Attributes[string(types.QueueAttributeNameMaximumMessageSize)]); err == nil && n > 0 {
		d.messageBytes = min(n, outbox.MaxMessageBytes)
	}
	return d, nil
}
