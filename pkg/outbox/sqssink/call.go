package sqssink

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/serverless-outbox/serverless-outbox/internal/aws/batch"
	"github.com/serverless-outbox/serverless-outbox/internal/aws/wire"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

// call sends msgs in one request and adds the entries of the answer to answers, as [batch.Call] says. The sink's
// codec writes the request and reads the answer; the SDK reads an answer that the codec cannot read.
func (s *Sink) call(ctx context.Context, msgs []outbox.Message, answers *batch.Answers) error {
	x := wire.Exchange{Codec: &s.codec, Messages: msgs, Answers: answers, Output: new(sqs.SendMessageBatchOutput)}
	defer x.Release()
	if s.direct.Call(ctx, &x) {
		return x.Fault()
	}
	out, err := s.client.SendMessageBatch(ctx, &s.input, func(o *sqs.Options) {
		o.HTTPClient, o.APIOptions = x.HTTPClient(o.HTTPClient), x.APIOptions(o.APIOptions)
	})
	if err != nil {
		return err
	}
	for i := range out.Successful {
		e := &out.Successful[i]
		if e.MD5OfMessageBody == nil {
			continue
		}
		if err = x.Check(aws.ToString(e.Id), []byte(*e.MD5OfMessageBody)); err != nil {
			return err
		}
	}
	addOutput(answers, out) // nothing when the codec has read the answer
	return x.Fault()
}

// direct returns a [wire.Direct] for calls of c, nil when c has options that need the SDK's stack of steps.
func direct(c *sqs.Client) *wire.Direct {
	o := c.Options()
	return wire.NewDirect(wire.Settings{
		Credentials: o.Credentials, Signer: o.HTTPSignerV4, HTTPClient: o.HTTPClient, Retryer: o.Retryer,
		Checksums:  !o.DisableMessageChecksumValidation,
		APIOptions: o.APIOptions, Interceptors: o.Interceptors, ClientLogMode: o.ClientLogMode, Tracers: o.TracerProvider, Meters: o.MeterProvider,
	})
}

// callSDK does what call does, with a request that the SDK writes and an answer that the SDK reads.
func (s *Sink) callSDK(ctx context.Context, msgs []outbox.Message, answers *batch.Answers) error {
	dataType := "String"
	attribute := func(value *string) types.MessageAttributeValue {
		return types.MessageAttributeValue{DataType: &dataType, StringValue: value}
	}
	ids := make([]string, len(msgs))
	entries := make([]types.SendMessageBatchRequestEntry, len(msgs))
	for i := range msgs {
		m := &msgs[i]
		ids[i] = batch.EntryID(i)
		entries[i] = types.SendMessageBatchRequestEntry{
			Id: &ids[i], MessageBody: &m.Body, MessageGroupId: &m.GroupID, MessageDeduplicationId: &m.DeduplicationID,
			MessageAttributes: batch.Attributes(m.Attributes, attribute),
		}
	}
	out, err := s.client.SendMessageBatch(ctx, &sqs.SendMessageBatchInput{QueueUrl: s.input.QueueUrl, Entries: entries})
	if err == nil {
		addOutput(answers, out)
	}
	return err
}

// addOutput adds the entries of out, an answer that the SDK has read, to answers.
func addOutput(answers *batch.Answers, out *sqs.SendMessageBatchOutput) {
	for i := range out.Successful {
		e := &out.Successful[i]
		answers.Accept(aws.ToString(e.Id), aws.ToString(e.MessageId), aws.ToString(e.SequenceNumber))
	}
	for i := range out.Failed {
		e := &out.Failed[i]
		answers.Refuse(aws.ToString(e.Id), aws.ToString(e.Code), aws.ToString(e.Message), e.SenderFault)
	}
}
