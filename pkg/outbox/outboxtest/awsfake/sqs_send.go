package awsfake

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/fakebroker"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/fakewire"
)

const (
	jsonType = "application/x-amz-json-1.0"
	wrongMD5 = "00000000000000000000000000000000"
)

func jsonAnswer(body []byte) answer {
	return answer{status: http.StatusOK, mediaType: jsonType, body: body}
}

// jsonError writes an error as SQS does since it speaks JSON: the shape in the
// body, and the code of old in a header.
func jsonError(err error) answer {
	e := asBrokerError(err)
	who := "Receiver"
	if e.Sender {
		who = "Sender"
	}
	body := append([]byte(`{"__type":`), fakewire.AppendJSON(nil, e.Type)...)
	body = fakewire.AppendJSON(append(body, `,"message":`...), e.Message)
	return answer{status: e.Status, mediaType: jsonType, queryError: e.Code + ";" + who, body: append(body, '}')}
}

func asBrokerError(err error) *fakebroker.Error {
	var e *fakebroker.Error
	if errors.As(err, &e) {
		return e
	}
	return &fakebroker.Error{Code: "InternalError", Type: "com.amazonaws.sqs#InternalError", Message: err.Error(), Status: http.StatusInternalServerError}
}

// checkBatch returns the error that refuses a batch for its number of entries
// or their ids.
func checkBatch(ids []string, request string) *fakebroker.Error {
	switch {
	case len(ids) == 0:
		return fakebroker.Modelled("EmptyBatchRequest", "There should be at least one %sEntry in the request.", request)
	case len(ids) > fakebroker.MaxEntries:
		return fakebroker.Modelled("TooManyEntriesInBatchRequest", "Maximum number of entries per request are %d. You have sent %d.", fakebroker.MaxEntries, len(ids))
	}
	for i, id := range ids {
		if !fakebroker.ValidEntryID(id) {
			return fakebroker.Modelled("InvalidBatchEntryId", "A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be at most 80 letters long.")
		}
		if slices.Contains(ids[:i], id) {
			return fakebroker.Modelled("BatchEntryIdsNotDistinct", "Id %s repeated.", id)
		}
	}
	return nil
}

func (s *Server) sqsSend(ctx context.Context, operation, body string) answer {
	isBatch := operation == "SendMessageBatch"
	b, err := fakewire.DecodeSend(body, isBatch)
	if err != nil {
		return jsonError(malformed(err))
	}
	p := s.faults.plan(operation, resourceName(b.Resource), groupsOf(b.Entries))
	if a, done := s.before(ctx, p, func(e *fakebroker.Error) answer { return jsonError(e) }); done {
		return a
	}
	q, err := s.queue(b.Resource)
	if err != nil {
		return jsonError(err)
	}
	if refused := checkSend(q, b.Entries, isBatch); refused != nil {
		return jsonError(refused)
	}
	sent, err := q.Send(p.refuse(b.Entries))
	if err != nil {
		return jsonError(err)
	}
	if !isBatch {
		if sent[0].Err != nil {
			return jsonError(sent[0].Err)
		}
		if f := p.entries[0]; f != nil && f.Kind == WrongMD5 {
			sent[0].BodyMD5 = wrongMD5
		}
		return p.after(jsonAnswer(append(appendSent([]byte{'{'}, &sent[0], "MD5OfMessageBody"), '}')))
	}
	return p.after(jsonAnswer(p.sendBatchBody(b.Entries, sent)))
}

// checkSend returns the error that refuses a whole send.
func checkSend(q *fakebroker.Queue, entries []fakewire.BatchEntry, isBatch bool) *fakebroker.Error {
	if isBatch {
		ids := make([]string, len(entries))
		total := 0
		for i := range entries {
			ids[i] = entries[i].ID
			total += entries[i].Size()
		}
		if e := checkBatch(ids, "SendMessageBatchRequest"); e != nil {
			return e
		}
		if total > fakebroker.MaxQueueBytes {
			return fakebroker.Modelled("BatchRequestTooLong", "Batch requests cannot be longer than %d bytes. You have sent %d bytes.", fakebroker.MaxQueueBytes, total)
		}
	}
	for i := range entries {
		if e := q.CheckRequired(&entries[i].Entry, isBatch); e != nil {
			return e
		}
	}
	return nil
}

func groupsOf(entries []fakewire.BatchEntry) []string {
	groups := make([]string, len(entries))
	for i := range entries {
		groups[i] = entries[i].GroupID
	}
	return groups
}

// refuse hands over the entries, marking those that a fault refuses.
func (p plan) refuse(entries []fakewire.BatchEntry) []fakebroker.Entry {
	out := make([]fakebroker.Entry, len(entries))
	for i := range entries {
		out[i] = entries[i].Entry
		if f := p.entries[i]; f != nil && (f.Kind == FailEntry || f.Kind == OmitEntry && !f.Accepted) {
			out[i].Refuse = f.brokerError()
		}
	}
	return out
}

func (p plan) sendBatchBody(entries []fakewire.BatchEntry, sent []fakebroker.Sent) []byte {
	out := make([]byte, 0, 320*len(sent))
	out = append(out, `{"Successful":[`...)
	failed, first := 0, true
	for i := range sent {
		f := p.entries[i]
		if sent[i].Err != nil {
			failed++
			continue
		}
		if f != nil && f.Kind == OmitEntry {
			continue
		}
		if f != nil && f.Kind == WrongMD5 {
			sent[i].BodyMD5 = wrongMD5
		}
		if !first {
			out = append(out, ',')
		}
		first = false
		out = fakewire.AppendJSON(append(out, `{"Id":`...), entries[i].ID)
		out = append(appendSent(append(out, ','), &sent[i], "MD5OfMessageBody"), '}')
	}
	if failed == 0 {
		return append(out, `]}`...)
	}
	out = append(out, `],"Failed":[`...)
	first = true
	for i := range sent {
		if f := p.entries[i]; sent[i].Err == nil || f != nil && f.Kind == OmitEntry {
			continue
		}
		if !first {
			out = append(out, ',')
		}
		first = false
		out = appendFailed(out, entries[i].ID, sent[i].Err)
	}
	return append(out, `]}`...)
}

func appendSent(out []byte, s *fakebroker.Sent, md5Name string) []byte {
	out = append(append(append(out, '"'), md5Name...), `":"`...)
	out = append(append(out, s.BodyMD5...), `","MessageId":"`...)
	out = append(append(out, s.MessageID...), '"')
	if s.AttributesMD5 != "" {
		out = append(append(append(out, `,"MD5OfMessageAttributes":"`...), s.AttributesMD5...), '"')
	}
	if s.SequenceNumber != "" {
		out = append(append(append(out, `,"SequenceNumber":"`...), s.SequenceNumber...), '"')
	}
	return out
}

func appendFailed(out []byte, id string, e *fakebroker.Error) []byte {
	out = fakewire.AppendJSON(append(out, `{"Id":`...), id)
	out = fakewire.AppendJSON(append(out, `,"Code":`...), e.Code)
	out = fakewire.AppendJSON(append(out, `,"Message":`...), e.Message)
	return append(strconv.AppendBool(append(out, `,"SenderFault":`...), e.Sender), '}')
}

func malformed(err error) *fakebroker.Error {
	return fakebroker.Fault("MalformedInput", "com.amazon.coral.service#SerializationException", "%s", err)
}

// resourceName is the last part of a URL or ARN.
func resourceName(ref string) string { return ref[strings.LastIndexAny(ref, "/:")+1:] }

func (s *Server) queue(url string) (*fakebroker.Queue, error) {
	if url == "" {
		return nil, fakebroker.MissingParameter("QueueUrl")
	}
	return s.broker.Queue(url)
}
