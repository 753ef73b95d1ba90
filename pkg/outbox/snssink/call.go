package snssink

import (
	"context"
	"net/http"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/service/sns"

	"github.com/serverless-outbox/serverless-outbox/internal/aws/batch"
	"github.com/serverless-outbox/serverless-outbox/internal/aws/wire"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

// header is what the SDK sets on a PublishBatch in AWS Query.
//
//nolint:gochecknoglobals // never written
var header = http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}

// call sends one request, which it writes and reads itself.
func (s *Sink) call(ctx context.Context, msgs []outbox.Message) ([]batch.Answer, error) {
	var read bool
	var answers []batch.Answer
	x := wire.Exchange{
		Header: header,
		Encode: func(dst []byte) []byte { return s.appendRequest(dst, msgs) },
		Decode: func(body []byte) bool {
			var entries wire.Entries
			if read = readAnswer(body, &entries); read {
				answers = entries.Answers()
			}
			return read
		},
		// The SDK writes metadata into it.
		Output: new(sns.PublishBatchOutput),
	}
	defer x.Release()
	if s.direct.Call(ctx, &x) {
		return answers, nil
	}
	out, err := s.client.PublishBatch(ctx, &s.input, func(o *sns.Options) {
		o.HTTPClient = x.HTTPClient(o.HTTPClient)
		o.APIOptions = append(o.APIOptions[:len(o.APIOptions):len(o.APIOptions)], x.Install)
	})
	if err != nil {
		return nil, err
	}
	if read {
		return answers, nil
	}
	return outputAnswers(out), nil
}

// direct returns the way past the SDK's stack, nil when the client needs all of
// it.
func direct(c *sns.Client) *wire.Direct {
	o := c.Options()
	return wire.NewDirect(wire.Settings{
		Credentials: o.Credentials, Signer: o.HTTPSignerV4, HTTPClient: o.HTTPClient, Retryer: o.Retryer,
		APIOptions: o.APIOptions, Interceptors: o.Interceptors, ClientLogMode: o.ClientLogMode, Tracers: o.TracerProvider, Meters: o.MeterProvider,
	})
}

const (
	prefixEntry     = "&PublishBatchRequestEntries.member."
	prefixAttribute = ".MessageAttributes.entry."
)

// appendRequest appends the form of a PublishBatch.
func (s *Sink) appendRequest(dst []byte, msgs []outbox.Message) []byte {
	dst = append(dst, `Action=PublishBatch&Version=2010-03-31&TopicArn=`...)
	dst = wire.AppendForm(dst, s.arn)
	for i := range msgs {
		m := &msgs[i]
		var scratch [len(prefixEntry) + 20]byte
		entry := strconv.AppendInt(append(scratch[:0], prefixEntry...), int64(i+1), 10)
		dst = append(append(dst, entry...), ".Id="...)
		dst = strconv.AppendInt(dst, int64(i), 10)
		dst = append(append(dst, entry...), ".Message="...)
		dst = wire.AppendForm(dst, m.Body)
		dst = append(append(dst, entry...), ".MessageGroupId="...)
		dst = wire.AppendForm(dst, m.GroupID)
		dst = append(append(dst, entry...), ".MessageDeduplicationId="...)
		dst = wire.AppendForm(dst, m.DeduplicationID)
		for k := range m.Attributes {
			dst = appendAttribute(dst, entry, k+1, &m.Attributes[k])
		}
	}
	return dst
}

func appendAttribute(dst, entry []byte, number int, a *outbox.Attribute) []byte {
	var scratch [len(prefixEntry) + len(prefixAttribute) + 40]byte
	key := append(append(scratch[:0], entry...), prefixAttribute...)
	key = strconv.AppendInt(key, int64(number), 10)
	dst = append(append(dst, key...), ".Name="...)
	dst = wire.AppendForm(dst, a.Name)
	dst = append(append(dst, key...), ".Value.DataType=String"...)
	dst = append(append(dst, key...), ".Value.StringValue="...)
	return wire.AppendForm(dst, a.Value)
}
