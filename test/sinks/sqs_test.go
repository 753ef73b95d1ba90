package sinks_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest/awsfake"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest/sinktest"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/sqssink"
)

func sqsService() *service {
	return &service{
		kind: "queue", operation: "SendMessageBatch",
		throttled: "RequestThrottled", missing: "AWS.SimpleQueueService.NonExistentQueue", invalid: "InvalidParameterValue",
		setting: "QueueURL", odd: `http://127.0.0.1:9/000000000000/or"ders.fifo`, nowhere: "http://127.0.0.1/000000000000/nowhere.fifo",
		open: func(cfg aws.Config, s settings) (outbox.Sink, error) {
			c := sqs.NewFromConfig(cfg, func(o *sqs.Options) { o.DisableMessageChecksumValidation = s.unchecked })
			return sqssink.New(c, sqssink.Config{QueueURL: s.destination, MaxMessageBytes: s.maxMessageBytes, SDKCodec: s.sdkCodec})
		},
		create: createQueue,
		misconfigure: func() error {
			_, err := sqssink.New(nil, sqssink.Config{MaxMessageBytes: 2 << 20})
			return err
		},
		stub: func() (outbox.Sink, error) {
			return sqssink.New(acceptingSQS{}, sqssink.Config{QueueURL: "http://127.0.0.1/000000000000/nowhere.fifo"})
		},
		answer: sqsAnswer, empty: `{}`, seeds: sqsSeeds,
		parse: func(body []byte) (value any, err error) {
			err = json.Unmarshal(body, &value)
			return value, err
		},
	}
}

func createQueue(tb testing.TB, cfg aws.Config, attributes map[string]string) string {
	tb.Helper()
	all := map[string]string{"FifoQueue": "true"}
	maps.Copy(all, attributes)
	out, err := sqs.NewFromConfig(cfg).CreateQueue(tb.Context(), &sqs.CreateQueueInput{QueueName: aws.String("orders.fifo"), Attributes: all})
	if err != nil {
		tb.Fatal(err)
	}
	return aws.ToString(out.QueueUrl)
}

// acceptingSQS accepts every message and sends nothing.
type acceptingSQS struct{}

// SendMessageBatch implements [sqssink.Client].
func (acceptingSQS) SendMessageBatch(_ context.Context, in *sqs.SendMessageBatchInput, _ ...func(*sqs.Options)) (*sqs.SendMessageBatchOutput, error) {
	out := &sqs.SendMessageBatchOutput{Successful: make([]types.SendMessageBatchResultEntry, len(in.Entries))}
	for i := range in.Entries {
		id := in.Entries[i].Id
		out.Successful[i] = types.SendMessageBatchResultEntry{Id: id, MessageId: id, SequenceNumber: id}
	}
	return out, nil
}

func sqsAnswer(msgs []outbox.Message) []byte {
	out := bytes.NewBufferString(`{"Successful":[`)
	for i := range msgs {
		if i > 0 {
			out.WriteByte(',')
		}
		fmt.Fprintf(out, `{"Id":"%d","MessageId":"5fea7756-0ea4-451a-a703-a558b933e27%d","MD5OfMessageBody":"%x",`+
			`"MD5OfMessageAttributes":"8ba5c6f6a6b3e0a2bb9c8a3d0a1a5c11","SequenceNumber":"1887099338342502374%d"}`,
			i, i, md5.Sum([]byte(msgs[i].Body)), i)
	}
	out.WriteString(`]}`)
	return out.Bytes()
}

func sqsSeeds(msgs []outbox.Message) [][]byte {
	good := sqsAnswer(msgs)
	return [][]byte{
		good,
		bytes.ReplaceAll(good, []byte(`,`), []byte(" ,\n\t")),
		bytes.Replace(good, []byte(`"Id":"1"`), []byte(`"Id":"0"`), 1),
		bytes.Replace(good, []byte(`"Id":"1",`), nil, 1),
		bytes.Replace(good, []byte(`"Id":"1"`), []byte(`"Id":"\u0031"`), 1),
		bytes.Replace(good, []byte(`"MessageId"`), []byte(`"New":null,"MessageId"`), 1),
		bytes.Replace(good, []byte(`]}`), []byte(`],"Failed":[]}`), 1),
		bytes.Replace(good, []byte(`]}`), []byte(`],"Failed":[{"Id":"1","Code":"InternalError","SenderFault":false}]}`), 1),
		bytes.Replace(good, []byte(`]}`), []byte(`],"Successful":[]}`), 1),
		[]byte(`{"Failed":[{"Id":"0","Code":"InvalidMessageContents","Message":"a \"b\"","SenderFault":true},{"Id":"1","Code":"x","Message":"y","SenderFault":true}]}`),
		[]byte(`{"Failed":null,"Successful":null}`), []byte(`{}`), []byte(``), []byte(`[]`), []byte(`null`),
		good[:len(good)/2], append(bytes.Clone(good), `{}`...),
		[]byte(`{"__type":"com.amazonaws.sqs#QueueDoesNotExist","message":"no"}`),
	}
}

func FuzzSQSAnswer(f *testing.F) { fuzzAnswer(f, sqsService()) }

func TestWrongChecksumIsUnknownInEveryForm(t *testing.T) {
	t.Parallel()
	msgs := sinktest.Messages(3)
	wrong := bytes.Replace(sqsAnswer(msgs), fmt.Appendf(nil, "%x", md5.Sum([]byte(msgs[1].Body))), bytes.Repeat([]byte("0"), 32), 1)
	for name, body := range map[string][]byte{
		"plain":   wrong,
		"escaped": bytes.Replace(wrong, []byte(`"Id":"0"`), []byte(`"Id":"\u0030"`), 1),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPair(t, sqsService(), settings{})
			p.answer(http.StatusOK, nil, body)
			p.same(t, msgs)
			expectClasses(t, p.own, msgs, func(int) outbox.Class { return outbox.Unknown })
			off := newPair(t, sqsService(), settings{unchecked: true})
			off.answer(http.StatusOK, nil, body)
			expectClasses(t, off.own, msgs, func(int) outbox.Class { return outbox.Accepted })
		})
	}
}

func TestWrongChecksumIsUnknownThoughAccepted(t *testing.T) {
	t.Parallel()
	fake, s := start(t, awsfake.Config{}), sqsService()
	sink := s.sinkOf(t, fake, settings{}, nil)
	if _, err := fake.AddFault(awsfake.Fault{Kind: awsfake.WrongMD5, Entry: 2, Count: 1}); err != nil {
		t.Fatal(err)
	}
	expectClasses(t, sink, sinktest.Messages(3), func(int) outbox.Class { return outbox.Unknown })
	if n := len(s.accepted(fake)); n != 3 {
		t.Errorf("the queue has %d messages", n)
	}
}
