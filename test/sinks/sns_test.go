package sinks_test

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"net/url"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/snssink"
)

func snsService() *service {
	return &service{
		kind: "topic", operation: "PublishBatch",
		throttled: "Throttled", missing: "NotFound", invalid: "InvalidParameter",
		setting: "TopicARN", odd: "arn:aws:sns:us-east-1:000000000000:or ders.fifo", nowhere: "arn:aws:sns:us-east-1:000000000000:nowhere.fifo",
		open: func(cfg aws.Config, s settings) (outbox.Sink, error) {
			return snssink.New(sns.NewFromConfig(cfg), snssink.Config{TopicARN: s.destination, MaxMessageBytes: s.maxMessageBytes, SDKCodec: s.sdkCodec})
		},
		create: createTopic,
		misconfigure: func() error {
			_, err := snssink.New(nil, snssink.Config{MaxMessageBytes: 2 << 20})
			return err
		},
		stub: func() (outbox.Sink, error) {
			return snssink.New(acceptingSNS{}, snssink.Config{TopicARN: "arn:aws:sns:us-east-1:000000000000:nowhere.fifo"})
		},
		answer: snsAnswer, empty: `<a/>`, seeds: snsSeeds,
		parse: func(body []byte) (any, error) { return url.ParseQuery(string(body)) },
	}
}

func createTopic(tb testing.TB, cfg aws.Config, attributes map[string]string) string {
	tb.Helper()
	all := map[string]string{"FifoTopic": "true"}
	maps.Copy(all, attributes)
	out, err := sns.NewFromConfig(cfg).CreateTopic(tb.Context(), &sns.CreateTopicInput{Name: aws.String("orders.fifo"), Attributes: all})
	if err != nil {
		tb.Fatal(err)
	}
	return aws.ToString(out.TopicArn)
}

// acceptingSNS accepts every message and sends nothing.
type acceptingSNS struct{}

// PublishBatch implements [snssink.Client].
func (acceptingSNS) PublishBatch(_ context.Context, in *sns.PublishBatchInput, _ ...func(*sns.Options)) (*sns.PublishBatchOutput, error) {
	out := &sns.PublishBatchOutput{Successful: make([]types.PublishBatchResultEntry, len(in.PublishBatchRequestEntries))}
	for i := range in.PublishBatchRequestEntries {
		id := in.PublishBatchRequestEntries[i].Id
		out.Successful[i] = types.PublishBatchResultEntry{Id: id, MessageId: id, SequenceNumber: id}
	}
	return out, nil
}

func snsAnswer(msgs []outbox.Message) []byte {
	out := bytes.NewBufferString(`<?xml version="1.0"?><PublishBatchResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><PublishBatchResult><Failed/><Successful>`)
	for i := range msgs {
		fmt.Fprintf(out, `<member><MessageId>5fea7756-0ea4-451a-a703-a558b933e27%d</MessageId><Id>%d</Id>`+
			`<SequenceNumber>1000000000000000000%d</SequenceNumber></member>`, i, i, i)
	}
	out.WriteString(`</Successful></PublishBatchResult><ResponseMetadata><RequestId>f187a3c1-376f-11df-8963-01868b7c937a</RequestId></ResponseMetadata></PublishBatchResponse>`)
	return out.Bytes()
}

func snsSeeds(msgs []outbox.Message) [][]byte {
	good := snsAnswer(msgs)
	failed := `<Failed><member><Id>1</Id><Code>InternalError</Code><Message>a b</Message><SenderFault>false</SenderFault></member></Failed>`
	return [][]byte{
		good,
		bytes.ReplaceAll(good, []byte(`><`), []byte(">\n  <")),
		bytes.Replace(good, []byte(`<Id>1</Id>`), []byte(`<Id>0</Id>`), 1),
		bytes.Replace(good, []byte(`<Id>1</Id>`), nil, 1),
		bytes.Replace(good, []byte(`<Id>1</Id>`), []byte(`<Id>&#49;</Id>`), 1),
		bytes.Replace(good, []byte(`<Id>1</Id>`), []byte(`<Id><!-- -->1</Id><New/>`), 1),
		bytes.Replace(good, []byte(`<Id>1</Id>`), []byte(`<Id><![CDATA[1]]></Id>`), 1),
		bytes.Replace(good, []byte(`<Id>1</Id>`), []byte(`<Id>1</Id><Id>2</Id>`), 1),
		bytes.Replace(good, []byte(`<Failed/>`), []byte(failed), 1),
		bytes.Replace(good, []byte(`<Failed/>`), []byte(failed+failed), 1),
		bytes.Replace(good, []byte(`<Failed/>`), []byte(strings.Replace(failed, "a b", "a &amp; b", 1)), 1),
		bytes.Replace(good, []byte(`<Failed/>`), []byte(strings.Replace(failed, "false", "maybe", 1)), 1),
		bytes.Replace(good, []byte(`<Successful>`), []byte(`<Successful></Successful><Successful>`), 1),
		bytes.Replace(good, []byte(` xmlns="http://sns.amazonaws.com/doc/2010-03-31/"`), nil, 1),
		[]byte(``), []byte(`<a/>`), []byte(`<PublishBatchResponse/>`),
		good[:len(good)/2], append(bytes.Clone(good), `<a>`...),
		[]byte(`<ErrorResponse><Error><Type>Sender</Type><Code>NotFound</Code><Message>no</Message></Error></ErrorResponse>`),
	}
}

func FuzzSNSAnswer(f *testing.F) { fuzzAnswer(f, snsService()) }
