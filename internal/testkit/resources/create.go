package resources

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// creator creates resources by the APIs of SNS and SQS.
type creator struct {
	sns *sns.Client
	sqs *sqs.Client
}

// properties names the properties of a resource type that [Apply] supports. Those in attributes are passed to the API
// under their own names; create handles each of those in arguments.
type properties struct {
	arguments  []string
	attributes []string
}

// supported returns the supported properties of the type kind, and false for a type that is not supported.
func supported(kind string) (properties, bool) {
	switch kind {
	case "AWS::SNS::Topic":
		return properties{
			arguments:  []string{"TopicName"},
			attributes: []string{"FifoTopic", "ContentBasedDeduplication", "FifoThroughputScope", "KmsMasterKeyId"},
		}, true
	case "AWS::SQS::Queue":
		return properties{
			arguments: []string{"QueueName"},
			attributes: []string{
				"FifoQueue", "ContentBasedDeduplication", "DeduplicationScope", "FifoThroughputLimit",
				"SqsManagedSseEnabled", "KmsMasterKeyId", "KmsDataKeyReusePeriodSeconds", "VisibilityTimeout", "DelaySeconds",
				"MaximumMessageSize", "MessageRetentionPeriod", "ReceiveMessageWaitTimeSeconds", "RedrivePolicy", "RedriveAllowPolicy",
			},
		}, true
	case "AWS::SQS::QueuePolicy":
		return properties{arguments: []string{"Queues", "PolicyDocument"}}, true
	case "AWS::SNS::TopicPolicy":
		return properties{arguments: []string{"Topics", "PolicyDocument"}}, true
	case "AWS::SNS::Subscription":
		return properties{
			arguments:  []string{"TopicArn", "Protocol", "Endpoint"},
			attributes: []string{"RawMessageDelivery", "RedrivePolicy", "FilterPolicy", "FilterPolicyScope"},
		}, true
	}
	return properties{}, false
}

// known returns nil when the resource's type and properties are all supported, and else an error that names those that
// are not.
func known(resource Resource) error {
	p, ok := supported(resource.Type)
	if !ok {
		return fmt.Errorf("unsupported type %s", resource.Type)
	}
	var faults []error
	for _, name := range slices.Sorted(maps.Keys(resource.Properties)) {
		if !slices.Contains(p.arguments, name) && !slices.Contains(p.attributes, name) {
			faults = append(faults, fmt.Errorf("unsupported property %s of %s", name, resource.Type))
		}
	}
	return errors.Join(faults...)
}

// create creates a resource, or finds the one of its name, with its properties as r resolves them. It also returns what
// !Ref (under "Ref") and !GetAtt (under the attribute's name) of the resource are.
func (c *creator) create(ctx context.Context, r *resolver, resource Resource) (Created, map[string]string, error) {
	values, err := r.properties(resource)
	if err != nil {
		return Created{}, nil, err
	}
	p, _ := supported(resource.Type)
	attributes := map[string]string{}
	for _, name := range p.attributes {
		value, ok := values[name]
		if !ok {
			continue
		}
		if attributes[name], err = attribute(value); err != nil {
			return Created{}, nil, fmt.Errorf("property %s: %w", name, err)
		}
	}
	created := Created{Type: resource.Type}
	switch resource.Type {
	case "AWS::SNS::Topic":
		created.ARN, err = c.topic(ctx, text(values["TopicName"]), attributes)
		return created, map[string]string{
			"Ref": created.ARN, "TopicArn": created.ARN, "TopicName": text(values["TopicName"]),
		}, err
	case "AWS::SQS::Queue":
		created.URL, created.ARN, err = c.queue(ctx, text(values["QueueName"]), attributes)
		return created, map[string]string{
			"Ref": created.URL, "Arn": created.ARN, "QueueUrl": created.URL, "QueueName": text(values["QueueName"]),
		}, err
	case "AWS::SQS::QueuePolicy":
		return created, map[string]string{}, eachPolicy(ctx, values, "Queues", c.queuePolicy)
	case "AWS::SNS::TopicPolicy":
		return created, map[string]string{}, eachPolicy(ctx, values, "Topics", c.topicPolicy)
	case "AWS::SNS::Subscription":
		created.ARN, err = c.subscription(ctx, values, attributes)
		return created, map[string]string{"Ref": created.ARN, "Arn": created.ARN}, err
	}
	return Created{}, nil, fmt.Errorf("unsupported type %s", resource.Type)
}

// topic creates a topic, or finds the one of that name, and returns its ARN. SNS refuses a name that exists with other
// attributes.
func (c *creator) topic(ctx context.Context, name string, attributes map[string]string) (string, error) {
	out, err := c.sns.CreateTopic(ctx, &sns.CreateTopicInput{Name: aws.String(name), Attributes: attributes})
	if err != nil {
		return "", fmt.Errorf("create topic %s: %w", name, err)
	}
	return aws.ToString(out.TopicArn), nil
}

// queue creates a queue, or sets the attributes of the one of that name, and returns its URL and ARN.
func (c *creator) queue(ctx context.Context, name string, attributes map[string]string) (url, arn string, err error) {
	out, err := c.sqs.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: aws.String(name), Attributes: attributes})
	var exists *sqstypes.QueueNameExists
	switch {
	case err == nil:
		url = aws.ToString(out.QueueUrl)
	case errors.As(err, &exists):
		if url, err = c.update(ctx, name, attributes); err != nil {
			return "", "", fmt.Errorf("update queue %s: %w", name, err)
		}
	default:
		return "", "", fmt.Errorf("create queue %s: %w", name, err)
	}
	got, err := c.sqs.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
		QueueUrl: aws.String(url), AttributeNames: []sqstypes.QueueAttributeName{sqstypes.QueueAttributeNameQueueArn},
	})
	if err != nil {
		return "", "", fmt.Errorf("get the ARN of queue %s: %w", name, err)
	}
	return url, got.Attributes[string(sqstypes.QueueAttributeNameQueueArn)], nil
}

// update sets the attributes, but for FifoQueue, of the queue of that name, which must exist, and returns its URL.
func (c *creator) update(ctx context.Context, name string, attributes map[string]string) (string, error) {
	found, err := c.sqs.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: aws.String(name)})
	if err != nil {
		return "", err
	}
	changeable := maps.Clone(attributes)
	// This attribute is fixed at creation, and a request that names it is refused.
	delete(changeable, string(sqstypes.QueueAttributeNameFifoQueue))
	_, err = c.sqs.SetQueueAttributes(ctx, &sqs.SetQueueAttributesInput{QueueUrl: found.QueueUrl, Attributes: changeable})
	return aws.ToString(found.QueueUrl), err
}

// queuePolicy sets the policy of the queue with that URL.
func (c *creator) queuePolicy(ctx context.Context, url, policy string) error {
	_, err := c.sqs.SetQueueAttributes(ctx, &sqs.SetQueueAttributesInput{
		QueueUrl: aws.String(url), Attributes: map[string]string{string(sqstypes.QueueAttributeNamePolicy): policy},
	})
	return err
}

// topicPolicy sets the policy of the topic with that ARN.
func (c *creator) topicPolicy(ctx context.Context, arn, policy string) error {
	_, err := c.sns.SetTopicAttributes(ctx, &sns.SetTopicAttributesInput{
		TopicArn: aws.String(arn), AttributeName: aws.String("Policy"), AttributeValue: aws.String(policy),
	})
	return err
}

// eachPolicy calls set with each of the targets and the policy as JSON, until set errs. It takes them from values, the
// properties of a policy: property is the name of the property with the targets, a text or a list of texts.
func eachPolicy(ctx context.Context, values map[string]any, property string, set func(ctx context.Context, target, policy string) error) error {
	list, err := names(values[property])
	if err != nil {
		return fmt.Errorf("property %s: %w", property, err)
	}
	policy, err := attribute(values["PolicyDocument"])
	if err != nil {
		return fmt.Errorf("property PolicyDocument: %w", err)
	}
	for _, target := range list {
		if err := set(ctx, target, policy); err != nil {
			return fmt.Errorf("set the policy of %s: %w", target, err)
		}
	}
	return nil
}

// subscription subscribes values["Endpoint"] to the topic values["TopicArn"] and returns the subscription's ARN.
func (c *creator) subscription(ctx context.Context, values map[string]any, attributes map[string]string) (string, error) {
	out, err := c.sns.Subscribe(ctx, &sns.SubscribeInput{
		TopicArn: aws.String(text(values["TopicArn"])), Protocol: aws.String(text(values["Protocol"])),
		Endpoint: aws.String(text(values["Endpoint"])), Attributes: attributes, ReturnSubscriptionArn: true,
	})
	if err != nil {
		return "", fmt.Errorf("subscribe %s: %w", text(values["Endpoint"]), err)
	}
	return aws.ToString(out.SubscriptionArn), nil
}

// attribute returns a resolved value as the APIs take it: the JSON text of a mapping or a list, else the text of a
// scalar.
func attribute(v any) (string, error) {
	switch v.(type) {
	case map[string]any, []any:
		var b strings.Builder
		encoder := json.NewEncoder(&b)
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(v); err != nil {
			return "", fmt.Errorf("encode: %w", err)
		}
		return strings.TrimSpace(b.String()), nil
	}
	return text(v), nil
}
