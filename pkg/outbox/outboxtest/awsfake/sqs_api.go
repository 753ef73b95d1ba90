package awsfake

import (
	"cmp"
	"context"
	"encoding/json"
	"strconv"
	"strings"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/fakebroker"
)

// nothing is what an operation without a result returns: {} in JSON.
type nothing struct{}

// sqs carries out one call of the SQS API, with body as its parameters in JSON, and applies the planned faults.
func (s *Server) sqs(ctx context.Context, operation, body string) answer {
	switch operation {
	case "SendMessage", "SendMessageBatch":
		return s.sqsSend(ctx, operation, body)
	}
	var in sqsInput
	if body == "" {
		body = "{}"
	}
	if err := json.Unmarshal([]byte(body), &in); err != nil {
		return jsonError(malformed(err))
	}
	p := s.faults.plan(operation, cmp.Or(resourceName(in.QueueURL), in.QueueName), make([]string, len(in.Entries)))
	if a, done := s.before(ctx, p, jsonError); done {
		return a
	}
	out, err := s.sqsCall(ctx, operation, &in, p)
	if err != nil {
		return jsonError(err)
	}
	return p.after(jsonAnswer(out))
}

// sqsInput has the parameters of all operations of SQS except sends.
type sqsInput struct {
	receiveInput
	Entries       []handleEntry
	QueueName     string
	Attributes    map[string]string
	Tags          map[string]string `json:"tags"`
	NewTags       map[string]string `json:"Tags"`
	TagKeys       []string
	ReceiptHandle string

	QueueNamePrefix string
	NextToken       string
	MaxResults      int

	SourceArn                    string
	DestinationArn               string
	MaxNumberOfMessagesPerSecond *int
	TaskHandle                   string
}

func (s *Server) sqsCall(ctx context.Context, operation string, in *sqsInput, p plan) (any, error) {
	switch operation {
	case "CreateQueue":
		tags := in.Tags
		if tags == nil {
			tags = in.NewTags
		}
		if in.QueueName == "" {
			return nil, fakebroker.MissingParameter("QueueName")
		}
		q, err := s.broker.CreateQueue(in.QueueName, in.Attributes, tags)
		if err != nil {
			return nil, err
		}
		return map[string]string{"QueueUrl": q.URL()}, nil
	case "GetQueueUrl":
		q, err := s.broker.Queue(in.QueueName)
		if err != nil {
			return nil, err
		}
		return map[string]string{"QueueUrl": q.URL()}, nil
	case "ListQueues":
		return s.listQueues(in), nil
	case "StartMessageMoveTask", "ListMessageMoveTasks", "CancelMessageMoveTask":
		return s.moveTasks(operation, in)
	}
	q, err := s.queue(in.QueueURL)
	if err != nil {
		return nil, err
	}
	return s.queueCall(ctx, operation, q, in, p)
}

func (s *Server) queueCall(ctx context.Context, operation string, q *fakebroker.Queue, in *sqsInput, p plan) (any, error) {
	switch operation {
	case "ReceiveMessage":
		return s.receiveMessage(ctx, q, &in.receiveInput)
	case "DeleteMessage":
		if in.ReceiptHandle == "" {
			return nil, fakebroker.MissingParameter("ReceiptHandle")
		}
		return nothing{}, q.Delete(in.ReceiptHandle)
	case "DeleteMessageBatch":
		return handleBatch(in.Entries, "DeleteMessageBatchRequest", p,
			func(e handleEntry) error { return q.Delete(e.ReceiptHandle) })
	case "ChangeMessageVisibility":
		return nothing{}, changeVisibility(q, in.ReceiptHandle, in.VisibilityTimeout)
	case "ChangeMessageVisibilityBatch":
		return handleBatch(in.Entries, "ChangeMessageVisibilityBatchRequest", p,
			func(e handleEntry) error { return changeVisibility(q, e.ReceiptHandle, e.VisibilityTimeout) })
	case "GetQueueAttributes":
		attributes, err := q.Attributes(in.AttributeNames)
		if err != nil || len(attributes) == 0 {
			return nothing{}, err
		}
		return map[string]any{"Attributes": attributes}, nil
	case "SetQueueAttributes":
		return nothing{}, q.SetAttributes(in.Attributes)
	case "DeleteQueue":
		s.broker.DeleteQueue(q)
		return nothing{}, nil
	case "PurgeQueue":
		return nothing{}, q.Purge()
	case "ListDeadLetterSourceQueues":
		urls := []string{}
		for _, source := range s.broker.DeadLetterSources(q.ARN()) {
			urls = append(urls, source.URL())
		}
		return map[string]any{"queueUrls": urls}, nil
	case "ListQueueTags":
		if tags := q.Tags(); len(tags) > 0 {
			return map[string]any{"Tags": tags}, nil
		}
		return nothing{}, nil
	case "TagQueue":
		q.Tag(in.NewTags, nil)
		return nothing{}, nil
	case "UntagQueue":
		q.Tag(nil, in.TagKeys)
		return nothing{}, nil
	case "AddPermission", "RemovePermission":
		return nothing{}, nil
	}
	return nil, fakebroker.Fault("InvalidAction", "com.amazon.coral.service#UnknownOperationException", "The action %s is not valid for this endpoint.", operation)
}

func changeVisibility(q *fakebroker.Queue, handle string, seconds *int) error {
	if seconds == nil {
		return fakebroker.MissingParameter("VisibilityTimeout")
	}
	if handle == "" {
		return fakebroker.MissingParameter("ReceiptHandle")
	}
	return q.ChangeVisibility(handle, *seconds)
}

// listQueues returns a page of queues, by name: at most MaxResults, or all when that is 0. NextToken, for the next page,
// is the last name of this one.
func (s *Server) listQueues(in *sqsInput) any {
	out := struct {
		QueueURLs []string `json:"QueueUrls,omitempty"`
		NextToken string   `json:",omitempty"`
	}{}
	for _, q := range s.broker.Queues() {
		if !strings.HasPrefix(q.Name(), in.QueueNamePrefix) || q.Name() <= in.NextToken {
			continue
		}
		if limit := in.MaxResults; limit > 0 && len(out.QueueURLs) == limit {
			out.NextToken = resourceName(out.QueueURLs[limit-1])
			break
		}
		out.QueueURLs = append(out.QueueURLs, q.URL())
	}
	return out
}

func (s *Server) moveTasks(operation string, in *sqsInput) (any, error) {
	switch operation {
	case "StartMessageMoveTask":
		rate := 0
		if in.MaxNumberOfMessagesPerSecond != nil {
			if rate = *in.MaxNumberOfMessagesPerSecond; rate < 1 {
				rate = -1
			}
		}
		handle, err := s.broker.StartMove(in.SourceArn, in.DestinationArn, rate)
		return map[string]string{"TaskHandle": handle}, err
	case "CancelMessageMoveTask":
		moved, err := s.broker.CancelMove(in.TaskHandle)
		return map[string]int{"ApproximateNumberOfMessagesMoved": moved}, err
	}
	limit := cmp.Or(in.MaxResults, 1)
	if limit < 1 || limit > 10 {
		return nil, fakebroker.InvalidParameterValue("Value %s for parameter MaxResults is invalid. Reason: Must be between 1 and 10.", strconv.Itoa(limit))
	}
	tasks, err := s.broker.Moves(in.SourceArn)
	if err != nil {
		return nil, err
	}
	type result struct {
		TaskHandle                        string `json:",omitempty"`
		Status                            string
		SourceArn                         string
		DestinationArn                    string `json:",omitempty"`
		MaxNumberOfMessagesPerSecond      int    `json:",omitempty"`
		ApproximateNumberOfMessagesMoved  int
		ApproximateNumberOfMessagesToMove int
		FailureReason                     string `json:",omitempty"`
		StartedTimestamp                  int64
	}
	results := []result{}
	for _, t := range tasks[:min(limit, len(tasks))] {
		results = append(results, result{
			t.Handle, t.Status, t.SourceARN, t.DestinationARN, t.PerSecond, t.Moved, t.ToMove, t.FailureReason, t.Started.UnixMilli(),
		})
	}
	return map[string]any{"Results": results}, nil
}
