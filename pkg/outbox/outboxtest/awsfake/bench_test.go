package awsfake_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	snstypes "github.com/aws/aws-sdk-go-v2/service/sns/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest/awsfake"
)

// Both benchmarks send batches of 10 messages of 512 bytes through the SDK,
// whose share of the time is the larger one.

func BenchmarkSendMessageBatch(b *testing.B) {
	s := start(b, awsfake.Config{History: awsfake.HistoryCounts, Discard: true})
	q, _ := clients(s)
	url := createQueue(b, q, "q.fifo")
	body := strings.Repeat("x", 512)
	var n atomic.Int64
	b.SetParallelism(4)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			in := &sqs.SendMessageBatchInput{QueueUrl: &url}
			for range 10 {
				i := n.Add(1)
				in.Entries = append(in.Entries, sqstypes.SendMessageBatchRequestEntry{
					Id: aws.String(fmt.Sprint(i)), MessageBody: &body, MessageGroupId: aws.String(fmt.Sprint(i % 1000)), MessageDeduplicationId: aws.String(fmt.Sprint(i)),
				})
			}
			if out, err := q.SendMessageBatch(b.Context(), in); err != nil || len(out.Successful) != 10 {
				b.Errorf("%v, %v", out, err)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
}

func BenchmarkPublishBatch(b *testing.B) {
	s := start(b, awsfake.Config{History: awsfake.HistoryCounts, Discard: true})
	q, t := clients(s)
	createQueue(b, q, "q.fifo")
	topic, err := t.CreateTopic(b.Context(), &sns.CreateTopicInput{Name: aws.String("t.fifo"), Attributes: map[string]string{"FifoTopic": "true"}})
	if err != nil {
		b.Fatal(err)
	}
	if _, err := t.Subscribe(b.Context(), &sns.SubscribeInput{
		TopicArn: topic.TopicArn, Protocol: aws.String("sqs"), Endpoint: aws.String("arn:aws:sqs:us-east-1:000000000000:q.fifo"),
	}); err != nil {
		b.Fatal(err)
	}
	body := strings.Repeat("x", 512)
	var n atomic.Int64
	b.SetParallelism(4)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			in := &sns.PublishBatchInput{TopicArn: topic.TopicArn}
			for range 10 {
				i := n.Add(1)
				in.PublishBatchRequestEntries = append(in.PublishBatchRequestEntries, snstypes.PublishBatchRequestEntry{
					Id: aws.String(fmt.Sprint(i)), Message: &body, MessageGroupId: aws.String(fmt.Sprint(i % 1000)), MessageDeduplicationId: aws.String(fmt.Sprint(i)),
				})
			}
			if out, err := t.PublishBatch(b.Context(), in); err != nil || len(out.Successful) != 10 {
				b.Errorf("%v, %v", out, err)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
}
