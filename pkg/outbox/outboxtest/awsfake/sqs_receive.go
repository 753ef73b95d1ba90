package awsfake

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/fakebroker"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/fakewire"
)

type receiveInput struct {
	QueueURL                    string `json:"QueueUrl"`
	MaxNumberOfMessages         *int
	VisibilityTimeout           *int
	WaitTimeSeconds             *int
	ReceiveRequestAttemptID     string `json:"ReceiveRequestAttemptId"`
	AttributeNames              []string
	MessageSystemAttributeNames []string
	MessageAttributeNames       []string
}

func (s *Server) receiveMessage(ctx context.Context, q *fakebroker.Queue, in *receiveInput) (any, error) {
	r := fakebroker.Receive{Max: 1, Visibility: in.VisibilityTimeout, Wait: in.WaitTimeSeconds, AttemptID: in.ReceiveRequestAttemptID}
	if in.MaxNumberOfMessages != nil {
		r.Max = *in.MaxNumberOfMessages
	}
	messages, err := q.Receive(ctx, r)
	if err != nil {
		return nil, err
	}
	var out struct {
		Messages []receivedMessage `json:",omitempty"`
	}
	system := append(slices.Clone(in.AttributeNames), in.MessageSystemAttributeNames...)
	for i := range messages {
		out.Messages = append(out.Messages, s.received(&messages[i], system, in.MessageAttributeNames))
	}
	return out, nil
}

// receivedMessage is a message as ReceiveMessage returns it.
type receivedMessage struct {
	MessageID              string `json:"MessageId"`
	ReceiptHandle          string
	MD5OfBody              string
	Body                   string
	Attributes             map[string]string   `json:",omitempty"`
	MD5OfMessageAttributes string              `json:",omitempty"`
	MessageAttributes      fakewire.Attributes `json:",omitempty"`
}

// received returns m for the answer to a ReceiveMessage that asks for the system attributes in system and the message
// attributes in names.
func (s *Server) received(m *fakebroker.Received, system, names []string) receivedMessage {
	out := receivedMessage{
		MessageID: m.MessageID, ReceiptHandle: m.ReceiptHandle, MD5OfBody: m.MD5, Body: m.Body,
		Attributes: s.systemAttributes(m, system), MessageAttributes: fakewire.Attributes{},
	}
	var picked []fakebroker.Attribute
	for i := range m.Attributes {
		if wantsAttribute(names, m.Attributes[i].Name) {
			picked = append(picked, m.Attributes[i])
			out.MessageAttributes.Add(&m.Attributes[i])
		}
	}
	if len(picked) > 0 {
		out.MD5OfMessageAttributes = fakebroker.AttributesMD5(picked)
	}
	return out
}

// wantsAttribute reports whether a ReceiveMessage that asks for names gets the message attribute: "All" and ".*" stand
// for every attribute, and a name that ends in ".*" for those that begin with the rest of it.
func wantsAttribute(names []string, attribute string) bool {
	return slices.ContainsFunc(names, func(n string) bool {
		prefix, wild := strings.CutSuffix(n, ".*")
		return n == "All" || n == attribute || wild && strings.HasPrefix(attribute, prefix)
	})
}

// systemAttributes returns the system attributes of m that names asks for; the name "All" stands for all. Attributes
// without a value are not returned.
func (s *Server) systemAttributes(m *fakebroker.Received, names []string) map[string]string {
	out := map[string]string{}
	for name, value := range map[string]string{
		"SenderId":                         s.cfg.Account,
		"SentTimestamp":                    strconv.FormatInt(m.SentAt.UnixMilli(), 10),
		"ApproximateReceiveCount":          strconv.Itoa(m.Receives),
		"ApproximateFirstReceiveTimestamp": strconv.FormatInt(m.FirstReceivedAt.UnixMilli(), 10),
		"SequenceNumber":                   m.SequenceNumber,
		"MessageDeduplicationId":           m.DeduplicationID,
		"MessageGroupId":                   m.GroupID,
		"AWSTraceHeader":                   m.TraceHeader,
		"DeadLetterQueueSourceArn":         m.DeadLetterSource,
	} {
		if value != "" && (slices.Contains(names, "All") || slices.Contains(names, name)) {
			out[name] = value
		}
	}
	return out
}

type handleEntry struct {
	ID                string `json:"Id"`
	ReceiptHandle     string
	VisibilityTimeout *int
}

// doneEntry is the success of one entry of DeleteMessageBatch or ChangeMessageVisibilityBatch.
type doneEntry struct {
	ID string `json:"Id"`
}

// handleBatch carries out a DeleteMessageBatch or ChangeMessageVisibilityBatch and returns its answer: it calls do for
// each entry that no fault of p refuses. request is the name of the call's request, for the text of errors.
func handleBatch(entries []handleEntry, request string, p plan, do func(handleEntry) error) (any, error) {
	ids := make([]string, len(entries))
	for i := range entries {
		ids[i] = entries[i].ID
	}
	if fault := checkBatch(ids, request); fault != nil {
		return nil, fault
	}
	out := batchAnswer[doneEntry]{Successful: []doneEntry{}}
	for i := range entries {
		f := p.entries[i]
		var err error
		if f != nil && f.Kind == FailEntry {
			err = f.brokerError()
		} else if f == nil || f.Kind != OmitEntry || f.Accepted {
			err = do(entries[i])
		}
		switch {
		case f != nil && f.Kind == OmitEntry:
		case err != nil:
			out.Failed = append(out.Failed, refused(ids[i], asBrokerError(err)))
		default:
			out.Successful = append(out.Successful, doneEntry{ids[i]})
		}
	}
	return out, nil
}
