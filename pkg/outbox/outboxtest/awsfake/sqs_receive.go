package awsfake

import (
	"context"
	"encoding/base64"
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
	if len(messages) == 0 {
		return raw(`{}`), nil
	}
	system := append(slices.Clone(in.AttributeNames), in.MessageSystemAttributeNames...)
	out := append(make([]byte, 0, 1024*len(messages)), `{"Messages":[`...)
	for i := range messages {
		if i > 0 {
			out = append(out, ',')
		}
		out = s.appendMessage(out, &messages[i], system, in.MessageAttributeNames)
	}
	return raw(append(out, `]}`...)), nil
}

func (s *Server) appendMessage(out []byte, m *fakebroker.Received, system, names []string) []byte {
	out = append(append(out, `{"MessageId":"`...), m.MessageID...)
	out = append(append(out, `","ReceiptHandle":"`...), m.ReceiptHandle...)
	out = append(append(out, `","MD5OfBody":"`...), m.MD5...)
	out = fakewire.AppendJSON(append(out, `","Body":`...), m.Body)
	out = s.appendSystemAttributes(out, m, system)
	var picked []fakebroker.Attribute
	for i := range m.Attributes {
		if wantsAttribute(names, m.Attributes[i].Name) {
			picked = append(picked, m.Attributes[i])
		}
	}
	if len(picked) > 0 {
		out = append(append(append(out, `,"MD5OfMessageAttributes":"`...), fakebroker.AttributesMD5(picked)...), `","MessageAttributes":{`...)
		for i := range picked {
			if i > 0 {
				out = append(out, ',')
			}
			out = appendAttribute(out, &picked[i])
		}
		out = append(out, '}')
	}
	return append(out, '}')
}

func appendAttribute(out []byte, a *fakebroker.Attribute) []byte {
	out = append(fakewire.AppendJSON(out, a.Name), `:{"DataType":`...)
	out = fakewire.AppendJSON(out, a.Type)
	if strings.HasPrefix(a.Type, "Binary") {
		out = fakewire.AppendJSON(append(out, `,"BinaryValue":`...), base64.StdEncoding.EncodeToString(a.Binary))
	} else {
		out = fakewire.AppendJSON(append(out, `,"StringValue":`...), a.Value)
	}
	return append(out, '}')
}

// wantsAttribute reports whether a receive that asks for names gets the
// attribute: names may hold "All", ".*", or a prefix followed by ".*".
func wantsAttribute(names []string, attribute string) bool {
	return slices.ContainsFunc(names, func(n string) bool {
		prefix, wild := strings.CutSuffix(n, ".*")
		return n == "All" || n == attribute || wild && strings.HasPrefix(attribute, prefix)
	})
}

func (s *Server) appendSystemAttributes(out []byte, m *fakebroker.Received, names []string) []byte {
	if len(names) == 0 {
		return out
	}
	first := true
	for _, a := range [...]struct{ name, value string }{
		{"SenderId", s.cfg.Account},
		{"SentTimestamp", strconv.FormatInt(m.SentAt.UnixMilli(), 10)},
		{"ApproximateReceiveCount", strconv.Itoa(m.Receives)},
		{"ApproximateFirstReceiveTimestamp", strconv.FormatInt(m.FirstReceivedAt.UnixMilli(), 10)},
		{"SequenceNumber", m.SequenceNumber},
		{"MessageDeduplicationId", m.DeduplicationID},
		{"MessageGroupId", m.GroupID},
		{"AWSTraceHeader", m.TraceHeader},
		{"DeadLetterQueueSourceArn", m.DeadLetterSource},
	} {
		if a.value == "" || !slices.Contains(names, "All") && !slices.Contains(names, a.name) {
			continue
		}
		if first {
			out = append(out, `,"Attributes":{`...)
		} else {
			out = append(out, ',')
		}
		first = false
		out = fakewire.AppendJSON(append(fakewire.AppendJSON(out, a.name), ':'), a.value)
	}
	if !first {
		out = append(out, '}')
	}
	return out
}

type handleEntry struct {
	ID                string `json:"Id"`
	ReceiptHandle     string
	VisibilityTimeout *int
}

type handleBatchInput struct {
	QueueURL string `json:"QueueUrl"`
	Entries  []handleEntry
}

// handleBatch carries out a DeleteMessageBatch or ChangeMessageVisibilityBatch.
func handleBatch(in *handleBatchInput, request string, p plan, do func(handleEntry) error) (any, error) {
	ids := make([]string, len(in.Entries))
	for i := range in.Entries {
		ids[i] = in.Entries[i].ID
	}
	if refused := checkBatch(ids, request); refused != nil {
		return nil, refused
	}
	var ok, failed []byte
	for i := range in.Entries {
		f := p.entries[i]
		var err error
		if f != nil && f.Kind == FailEntry {
			err = f.brokerError()
		} else if f == nil || f.Kind != OmitEntry || f.Accepted {
			err = do(in.Entries[i])
		}
		switch {
		case f != nil && f.Kind == OmitEntry:
		case err != nil:
			if failed != nil {
				failed = append(failed, ',')
			}
			failed = appendFailed(failed, ids[i], asBrokerError(err))
		default:
			if ok != nil {
				ok = append(ok, ',')
			}
			ok = append(fakewire.AppendJSON(append(ok, `{"Id":`...), ids[i]), '}')
		}
	}
	out := append(append([]byte(`{"Successful":[`), ok...), ']')
	if failed != nil {
		out = append(append(append(out, `,"Failed":[`...), failed...), ']')
	}
	return raw(append(out, '}')), nil
}
