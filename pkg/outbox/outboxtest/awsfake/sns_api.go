package awsfake

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/fakebroker"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/fakewire"
)

// sns carries out one call of the SNS API, with f as its parameters, and applies the planned faults.
func (s *Server) sns(ctx context.Context, operation string, f fakewire.Form) answer {
	switch operation {
	case "Publish", "PublishBatch":
		return s.snsPublish(ctx, operation, f)
	}
	p := s.faults.plan(operation, cmp.Or(resourceName(f["TopicArn"]), f["Name"]), nil)
	if a, done := s.before(ctx, p, xmlError); done {
		return a
	}
	result, err := s.snsCall(operation, f)
	if err != nil {
		return xmlError(err)
	}
	return p.after(xmlAnswer(snsNamespace, operation, result))
}

func (s *Server) snsCall(operation string, f fakewire.Form) ([]byte, error) {
	switch operation {
	case "CreateTopic":
		t, err := s.broker.CreateTopic(f["Name"], f.Map("Attributes.entry", "key", "value"), f.Map("Tags.member", "Key", "Value"))
		if err != nil {
			return nil, err
		}
		return fakewire.AppendElement(nil, "TopicArn", t.ARN()), nil
	case "DeleteTopic":
		s.broker.DeleteTopic(f["TopicArn"])
		return nil, nil
	case "ListTopics":
		out := []byte(`<Topics>`)
		for _, t := range s.broker.Topics() {
			out = append(fakewire.AppendElement(append(out, `<member>`...), "TopicArn", t.ARN()), `</member>`...)
		}
		return append(out, `</Topics>`...), nil
	case "ListSubscriptions":
		var all []*fakebroker.Subscription
		for _, t := range s.broker.Topics() {
			all = append(all, t.Subscriptions()...)
		}
		return s.subscriptionList(all), nil
	case "Unsubscribe", "GetSubscriptionAttributes", "SetSubscriptionAttributes":
		return s.subscriptionCall(operation, f)
	case "TagResource", "UntagResource", "ListTagsForResource":
		return s.topicTags(operation, f)
	}
	return s.topicCall(operation, f)
}

func (s *Server) topicCall(operation string, f fakewire.Form) ([]byte, error) {
	switch operation {
	case "GetTopicAttributes", "SetTopicAttributes", "Subscribe", "ListSubscriptionsByTopic":
	default:
		return nil, snsFault("InvalidAction", "The action "+operation+" is not valid for this endpoint.")
	}
	t, err := s.broker.Topic(f["TopicArn"])
	if err != nil {
		return nil, err
	}
	switch operation {
	case "GetTopicAttributes":
		return fakewire.AppendMap(nil, "Attributes", t.Attributes()), nil
	case "SetTopicAttributes":
		return nil, t.SetAttribute(f["AttributeName"], f["AttributeValue"])
	case "Subscribe":
		sub, err := t.Subscribe(f["Protocol"], f["Endpoint"], f.Map("Attributes.entry", "key", "value"))
		if err != nil {
			return nil, err
		}
		return fakewire.AppendElement(nil, "SubscriptionArn", sub.Info().ARN), nil
	}
	return s.subscriptionList(t.Subscriptions()), nil
}

func (s *Server) subscriptionList(list []*fakebroker.Subscription) []byte {
	out := []byte(`<Subscriptions>`)
	for _, sub := range list {
		info := sub.Info()
		out = fakewire.AppendElement(append(out, `<member>`...), "SubscriptionArn", info.ARN)
		out = fakewire.AppendElement(out, "Owner", s.cfg.Account)
		out = fakewire.AppendElement(out, "Protocol", info.Protocol)
		out = fakewire.AppendElement(out, "Endpoint", info.Endpoint)
		out = append(fakewire.AppendElement(out, "TopicArn", info.TopicARN), `</member>`...)
	}
	return append(out, `</Subscriptions>`...)
}

func (s *Server) subscriptionCall(operation string, f fakewire.Form) ([]byte, error) {
	sub, err := s.broker.Subscription(f["SubscriptionArn"])
	if err != nil {
		if operation == "Unsubscribe" && asBrokerError(err).Code == "NotFound" {
			return nil, nil
		}
		return nil, err
	}
	switch operation {
	case "GetSubscriptionAttributes":
		return fakewire.AppendMap(nil, "Attributes", sub.Attributes()), nil
	case "SetSubscriptionAttributes":
		return nil, sub.SetAttribute(f["AttributeName"], f["AttributeValue"])
	}
	sub.Unsubscribe()
	return nil, nil
}

func (s *Server) topicTags(operation string, f fakewire.Form) ([]byte, error) {
	t, err := s.broker.Topic(f["ResourceArn"])
	if err != nil {
		return nil, snsFault("ResourceNotFound", "Resource does not exist")
	}
	switch operation {
	case "TagResource":
		t.Tag(f.Map("Tags.member", "Key", "Value"), nil)
		return nil, nil
	case "UntagResource":
		t.Tag(nil, f.List("TagKeys.member"))
		return nil, nil
	}
	tags := t.Tags()
	out := []byte(`<Tags>`)
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		out = fakewire.AppendElement(append(out, `<member>`...), "Key", k)
		out = append(fakewire.AppendElement(out, "Value", tags[k]), `</member>`...)
	}
	return append(out, `</Tags>`...), nil
}
