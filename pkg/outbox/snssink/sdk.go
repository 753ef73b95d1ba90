package snssink

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sns/types"

	"github.com/serverless-outbox/serverless-outbox/internal/aws/batch"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

// callSDK sends one request as the SDK does.
func (s *Sink) callSDK(ctx context.Context, msgs []outbox.Message) ([]batch.Answer, error) {
	dataType := "String"
	ids := make([]string, len(msgs))
	entries := make([]types.PublishBatchRequestEntry, len(msgs))
	for i := range msgs {
		m := &msgs[i]
		ids[i] = batch.EntryID(i)
		entries[i] = types.PublishBatchRequestEntry{
			Id:                     &ids[i],
			Message:                &m.Body,
			MessageGroupId:         &m.GroupID,
			MessageDeduplicationId: &m.DeduplicationID,
		}
		if len(m.Attributes) == 0 {
			continue
		}
		attributes := make(map[string]types.MessageAttributeValue, len(m.Attributes))
		for k := range m.Attributes {
			a := &m.Attributes[k]
			attributes[a.Name] = types.MessageAttributeValue{DataType: &dataType, StringValue: &a.Value}
		}
		entries[i].MessageAttributes = attributes
	}
	out, err := s.client.PublishBatch(ctx, &sns.PublishBatchInput{TopicArn: &s.arn, PublishBatchRequestEntries: entries})
	if err != nil {
		return nil, err
	}
	return outputAnswers(out), nil
}

func outputAnswers(out *sns.PublishBatchOutput) []batch.Answer {
	answers := make([]batch.Answer, 0, len(out.Successful)+len(out.Failed))
	for i := range out.Successful {
		e := &out.Successful[i]
		answers = append(answers, batch.Answer{
			ID:             aws.ToString(e.Id),
			Accepted:       true,
			MessageID:      aws.ToString(e.MessageId),
			SequenceNumber: aws.ToString(e.SequenceNumber),
		})
	}
	for i := range out.Failed {
		e := &out.Failed[i]
		answers = append(answers, batch.Answer{
			ID:          aws.ToString(e.Id),
			Code:        aws.ToString(e.Code),
			Message:     aws.ToString(e.Message),
			SenderFault: e.SenderFault,
		})
	}
	return answers
}
