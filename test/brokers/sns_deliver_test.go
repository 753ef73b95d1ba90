package brokers_test

import (
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/service/sns"
	snstypes "github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/google/uuid"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

func (c *c) deleteQueue(url string) {
	_, err := c.sqs.DeleteQueue(c.ctx, &sqs.DeleteQueueInput{QueueUrl: &url})
	c.must(err)
}

// toDLQ is a RedrivePolicy for a subscription.
func (c *c) toDLQ(url string) attrs {
	policy, err := json.Marshal(attrs{"deadLetterTargetArn": c.arn(url)})
	c.must(err)
	return attrs{"RedrivePolicy": string(policy)}
}

func deliveryChecks() []check {
	return []check{
		{name: "sns.fan-out-keeps-group-and-dedup-id", run: func(c *c) {
			topic, a := c.subscribed(nil, nil)
			b := c.queue(nil)
			c.subscribe(topic, b, nil)
			c.publish(topic, "group", "dedup", "x")
			for _, url := range []string{a, b} {
				m := c.one(url)
				group, dedup := system(&m, sqstypes.MessageSystemAttributeNameMessageGroupId), system(&m, sqstypes.MessageSystemAttributeNameMessageDeduplicationId)
				if *m.Body != "x" || group != "group" || dedup != "dedup" {
					c.fatalf("got %q in %q with %q", *m.Body, group, dedup)
				}
			}
		}},
		{name: "sns.fan-out-keeps-the-order", run: func(c *c) {
			topic, url := c.subscribed(nil, nil)
			for i := range 5 {
				var list []snstypes.PublishBatchRequestEntry
				for j := range 4 {
					body := fmt.Sprintf("g%d-%02d", j%2, i*2+j/2)
					list = append(list, snsEntry(body, body[:2], body, body))
				}
				_, err := c.publishBatch(topic, list...)
				c.must(err)
			}
			c.wantGroupsInOrder(c.drain(url), 2, 10)
		}},
		{name: "sns.raw-delivery-keeps-attributes", run: func(c *c) {
			topic, url := c.subscribed(nil, nil)
			in := publication(topic, "g", "d", "x")
			in.MessageAttributes = map[string]snstypes.MessageAttributeValue{"k": snsText("v")}
			_, err := c.sns.Publish(c.ctx, in)
			c.must(err)
			m := c.one(url)
			if v := m.MessageAttributes["k"]; *m.Body != "x" || v.StringValue == nil || *v.StringValue != "v" {
				c.fatalf("got %q with %v", *m.Body, m.MessageAttributes)
			}
		}},
		{name: "sns.envelope-has-a-sequence-number-and-no-signature", run: func(c *c) {
			topic, url := c.topic(nil), c.queue(nil)
			_, err := c.trySubscribe(topic, "sqs", c.arn(url), nil)
			c.must(err)
			in := publication(topic, "g", "d", "x < y")
			in.MessageAttributes = map[string]snstypes.MessageAttributeValue{"k": snsText("v")}
			out, err := c.sns.Publish(c.ctx, in)
			c.must(err)
			m := c.one(url)
			var e map[string]any
			c.must(json.Unmarshal([]byte(*m.Body), &e))
			for name, want := range map[string]string{
				"Type": "Notification", "Message": "x < y", "TopicArn": topic, "MessageId": *out.MessageId, "SequenceNumber": *out.SequenceNumber,
			} {
				if e[name] != want {
					c.errorf("%s is %v, want %s", name, e[name], want)
				}
			}
			for _, name := range []string{"Signature", "SignatureVersion", "SigningCertURL"} {
				if e[name] != nil {
					c.errorf("%s is there", name)
				}
			}
			if list, ok := e["MessageAttributes"].(map[string]any); !ok || fmt.Sprint(list["k"]) != "map[Type:String Value:v]" {
				c.errorf("MessageAttributes %v", e["MessageAttributes"])
			}
		}},
		{name: "sns.standard-queue-gets-no-group", run: func(c *c) {
			topic, url := c.topic(nil), c.standardQueue()
			c.subscribe(topic, url, nil)
			c.publish(topic, "g", "d", "x")
			m := c.one(url)
			for _, name := range []sqstypes.MessageSystemAttributeName{"MessageGroupId", "MessageDeduplicationId", "SequenceNumber"} {
				if v := system(&m, name); v != "" {
					c.errorf("%s is %q", name, v)
				}
			}
		}},
		{name: "sns.dead-subscription-does-not-stop-the-others", run: func(c *c) {
			topic := c.topic(nil)
			gone := c.queue(nil)
			c.subscribe(topic, gone, nil)
			alive := c.queue(nil)
			c.subscribe(topic, alive, nil)
			c.deleteQueue(gone)
			c.publish(topic, "g", "d", "x")
			c.want("the other", c.receive(alive, 1, 3), "x")
		}},
		{name: "sns.subscription-dlq-takes-what-a-missing-queue-cannot", run: func(c *c) {
			topic, gone, dlq := c.topic(nil), c.queue(nil), c.queue(nil)
			c.subscribe(topic, gone, c.toDLQ(dlq))
			c.deleteQueue(gone)
			in := publication(topic, "group", "dedup", "x")
			in.MessageAttributes = map[string]snstypes.MessageAttributeValue{"k": snsText("v")}
			_, err := c.sns.Publish(c.ctx, in)
			c.must(err)
			m := c.one(dlq)
			group, dedup := system(&m, sqstypes.MessageSystemAttributeNameMessageGroupId), system(&m, sqstypes.MessageSystemAttributeNameMessageDeduplicationId)
			if *m.Body != "x" || group != "group" || dedup != "dedup" || len(m.MessageAttributes) != 1 {
				c.fatalf("got %q in %q with %q and %d attributes", *m.Body, group, dedup, len(m.MessageAttributes))
			}
		}},
		{name: "sns.raw-delivery-discards-more-than-10-attributes", run: func(c *c) {
			topic, url := c.subscribed(nil, nil)
			in := publication(topic, "g", "1", "too many")
			in.MessageAttributes = map[string]snstypes.MessageAttributeValue{}
			for i := range 11 {
				in.MessageAttributes[fmt.Sprintf("a%02d", i)] = snsText("v")
			}
			_, err := c.sns.Publish(c.ctx, in)
			c.must(err)
			c.publish(topic, "g", "2", "after")
			c.want("queue", c.drain(url), "after")
		}},
	}
}

func subscriptionChecks() []check {
	return []check{
		{name: "sns.fifo-queue-on-standard-topic-refused", run: func(c *c) {
			out, err := c.sns.CreateTopic(c.ctx, &sns.CreateTopicInput{Name: str(unique(""))})
			c.must(err)
			_, err = c.trySubscribe(*out.TopicArn, "sqs", c.arn(c.queue(nil)), nil)
			c.refused("subscribe", err, "InvalidParameter")
		}},
		{name: "sns.http-and-lambda-on-fifo-topic-refused", run: func(c *c) {
			topic := c.topic(nil)
			_, err := c.trySubscribe(topic, "http", "http://127.0.0.1:9/", nil)
			c.refused("http", err, "InvalidParameter")
			_, err = c.trySubscribe(topic, "lambda", "arn:aws:lambda:us-east-1:000000000000:function:f", nil)
			c.refused("lambda", err, "InvalidParameter")
		}},
		{name: "sns.subscribe-again-is-no-error", run: func(c *c) {
			topic, url := c.topic(nil), c.queue(nil)
			first, again := c.subscribe(topic, url, nil), c.subscribe(topic, url, nil)
			if first != again {
				c.fatalf("subscriptions %s and %s", first, again)
			}
			out, err := c.sns.ListSubscriptionsByTopic(c.ctx, &sns.ListSubscriptionsByTopicInput{TopicArn: &topic})
			c.must(err)
			if len(out.Subscriptions) != 1 || *out.Subscriptions[0].Endpoint != c.arn(url) {
				c.fatalf("subscriptions %+v", out.Subscriptions)
			}
		}},
		{name: "sns.unsubscribe-ends-the-delivery", run: func(c *c) {
			topic, url := c.topic(nil), c.queue(nil)
			arn := c.subscribe(topic, url, nil)
			_, err := c.sns.Unsubscribe(c.ctx, &sns.UnsubscribeInput{SubscriptionArn: &arn})
			c.must(err)
			c.publish(topic, "g", "d", "x")
			c.want("queue", c.receive(url, 1, 1))
		}},
		{name: "sns.fifo-subscription-dlq-must-be-fifo", run: func(c *c) {
			_, err := c.trySubscribe(c.topic(nil), "sqs", c.arn(c.queue(nil)), c.toDLQ(c.standardQueue()))
			c.refused("subscribe", err, "InvalidParameter")
		}},
		{name: "sns.subscriptions-tell-their-dlq", run: func(c *c) {
			topic, url, dlq := c.topic(nil), c.queue(nil), c.queue(nil)
			policy := c.toDLQ(dlq)
			arn, err := c.trySubscribe(topic, "sqs", c.arn(url), policy)
			c.must(err)
			found := false
			pages := sns.NewListSubscriptionsPaginator(c.sns, &sns.ListSubscriptionsInput{})
			for pages.HasMorePages() {
				page, failure := pages.NextPage(c.ctx)
				c.must(failure)
				for i := range page.Subscriptions {
					s := &page.Subscriptions[i]
					found = found || *s.SubscriptionArn == arn && *s.Endpoint == c.arn(url) && *s.Protocol == "sqs" && *s.TopicArn == topic
				}
			}
			if !found {
				c.errorf("the list lacks %s", arn)
			}
			out, err := c.sns.GetSubscriptionAttributes(c.ctx, &sns.GetSubscriptionAttributesInput{SubscriptionArn: &arn})
			c.must(err)
			if got := out.Attributes["RedrivePolicy"]; got != policy["RedrivePolicy"] || out.Attributes["RawMessageDelivery"] == "true" {
				c.errorf("attributes %v", out.Attributes)
			}
		}},
		{name: "sns.set-raw-delivery", run: func(c *c) {
			topic, url := c.topic(nil), c.queue(nil)
			arn, err := c.trySubscribe(topic, "sqs", c.arn(url), nil)
			c.must(err)
			_, err = c.sns.SetSubscriptionAttributes(c.ctx, &sns.SetSubscriptionAttributesInput{
				SubscriptionArn: &arn, AttributeName: str("RawMessageDelivery"), AttributeValue: str("true"),
			})
			c.must(err)
			c.publish(topic, "g", "d", "x")
			c.want("raw", c.receive(url, 1, 3), "x")
		}},
		{name: "sns.filter-policy-on-attributes", run: func(c *c) {
			topic, url := c.topic(nil), c.queue(nil)
			c.subscribe(topic, url, attrs{"FilterPolicy": `{"kind":["a",{"prefix":"b-"}]}`})
			for _, kind := range []string{"a", "b-1", "c", "ab"} {
				in := publication(topic, "g", kind, kind)
				in.MessageAttributes = map[string]snstypes.MessageAttributeValue{"kind": snsText(kind)}
				_, err := c.sns.Publish(c.ctx, in)
				c.must(err)
			}
			c.publish(topic, "g", "none", "none")
			c.want("queue", c.drain(url), "a", "b-1")
		}},
		{name: "sns.filter-policy-on-a-chosen-header", run: func(c *c) {
			topic, url := c.topic(nil), c.queue(nil)
			c.subscribe(topic, url, attrs{"FilterPolicy": `{"tenant":["acme"]}`})
			encoder := outbox.Encoder{HeaderAttributes: []string{"traceparent", "tenant"}}
			for i, tenant := range []string{"acme", "other"} {
				m, err := encoder.Encode(&outbox.Record{ID: int64(i + 1), ReplayOf: 1, Event: outbox.Event{
					EventID: uuid.New(), AggregateType: "order", AggregateID: "1", Type: "placed", Payload: []byte(strconv.Quote(tenant)),
					Headers: map[string]string{"tenant": tenant, "traceparent": "00-ab-cd-01", "note": "\"quoted\"\t\x1b"},
				}})
				c.must(err)
				in := publication(topic, m.GroupID, m.DeduplicationID, m.Body)
				in.MessageAttributes = map[string]snstypes.MessageAttributeValue{}
				for _, a := range m.Attributes {
					in.MessageAttributes[a.Name] = snsText(a.Value)
				}
				_, err = c.sns.Publish(c.ctx, in)
				c.must(err)
			}
			c.want("queue", c.drain(url), `"acme"`)
		}},
		{name: "sns.filter-policy-on-the-body", run: func(c *c) {
			topic, url := c.topic(nil), c.queue(nil)
			c.subscribe(topic, url, attrs{"FilterPolicy": `{"kind":["a"],"n":[{"numeric":[">",1]}]}`, "FilterPolicyScope": "MessageBody"})
			for i, body := range []string{`{"kind":"a","n":2}`, `{"kind":"a","n":1}`, `{"kind":"b","n":2}`, `{}`} {
				c.publish(topic, "g", fmt.Sprint(i), body)
			}
			c.want("queue", c.drain(url), `{"kind":"a","n":2}`)
		}},
		{name: "sns.create-topic-again-is-no-error", run: func(c *c) {
			name := unique(".fifo")
			in := &sns.CreateTopicInput{Name: &name, Attributes: attrs{"FifoTopic": "true"}}
			first, err := c.sns.CreateTopic(c.ctx, in)
			c.must(err)
			again, err := c.sns.CreateTopic(c.ctx, in)
			c.must(err)
			if *first.TopicArn != *again.TopicArn {
				c.fatalf("ARNs %s and %s", *first.TopicArn, *again.TopicArn)
			}
		}},
		{name: "sns.fifo-topic-name-must-end-with-fifo", run: func(c *c) {
			_, err := c.sns.CreateTopic(c.ctx, &sns.CreateTopicInput{Name: str(unique("")), Attributes: attrs{"FifoTopic": "true"}})
			c.refused("create", err, "InvalidParameter")
		}},
	}
}
