package awsfake

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/fakebroker"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/fakewire"
)

const (
	jsonType = "application/x-amz-json-1.0"
	wrongMD5 = "00000000000000000000000000000000"
)

// failedEntry is an entry of a batch that was refused.
type failedEntry struct {
	ID          string `json:"Id"`
	Code        string
	Message     string
	SenderFault bool
}

func refused(id string, e *fakebroker.Error) failedEntry {
	return failedEntry{ID: id, Code: e.Code, Message: e.Message, SenderFault: e.Sender}
}

// batchAnswer is the answer to a batch of SQS; E is what it says of an entry that succeeded.
type batchAnswer[E any] struct {
	Successful []E
	Failed     []failedEntry `json:",omitempty"`
}

// sentEntry is a message that was accepted. The answer to SendMessage has no ID.
type sentEntry struct {
	ID                     string `json:"Id,omitempty"`
	MessageID              string `json:"MessageId"`
	MD5OfMessageBody       string
	MD5OfMessageAttributes string `json:",omitempty"`
	SequenceNumber         string `json:",omitempty"`
}

func accepted(id string, s *fakebroker.Sent) sentEntry {
	return sentEntry{
		ID: id, MessageID: s.MessageID, MD5OfMessageBody: s.BodyMD5, MD5OfMessageAttributes: s.AttributesMD5, SequenceNumber: s.SequenceNumber,
	}
}

// jsonAnswer returns the answer to a successful call of a JSON protocol, with v as JSON.
func jsonAnswer(v any) answer {
	var buf bytes.Buffer
	encoder := json.NewEncoder(&buf)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return jsonError(err)
	}
	return answer{status: http.StatusOK, mediaType: jsonType, body: buf.Bytes()}
}

// jsonError returns the answer to a call of a JSON protocol that failed: the error's type in the body, and the code
// that the older Query protocol has for it in a header. An err that is no *fakebroker.Error is an InternalError.
func jsonError(err error) answer {
	e := asBrokerError(err)
	who := "Receiver"
	if e.Sender {
		who = "Sender"
	}
	a := jsonAnswer(struct {
		Type    string `json:"__type"`
		Message string `json:"message"`
	}{e.Type, e.Message})
	a.status, a.queryError = e.Status, e.Code+";"+who
	return a
}

func asBrokerError(err error) *fakebroker.Error {
	var e *fakebroker.Error
	if errors.As(err, &e) {
		return e
	}
	return &fakebroker.Error{Code: "InternalError", Type: "com.amazonaws.sqs#InternalError", Message: err.Error(), Status: http.StatusInternalServerError}
}

// checkBatch returns the error for which SQS refuses a batch because it has no entries or more than ten, or an
// id that is malformed or used twice; nil when there is none. request is the name of the call's request, for
// the text.
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
	if a, done := s.before(ctx, p, jsonError); done {
		return a
	}
	q, err := s.queue(b.Resource)
	if err != nil {
		return jsonError(err)
	}
	if fault := checkSend(q, b.Entries, isBatch); fault != nil {
		return jsonError(fault)
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
		return p.after(jsonAnswer(accepted("", &sent[0])))
	}
	return p.after(jsonAnswer(p.sendBatch(b.Entries, sent)))
}

// checkSend returns the error for which SQS refuses a send to q as a whole, nil when there is none: an entry lacks a
// group id or deduplication id that q needs, or, in a SendMessageBatch (isBatch), checkBatch finds a fault or the
// entries have more than fakebroker.MaxQueueBytes in all. Faults of single entries are found by q.Send.
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

// refuse returns the entries as the broker takes them. Those that FailEntry, or OmitEntry without Accepted, hits have
// the error of the fault in Entry.Refuse, so that the broker does not accept them.
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

// sendBatch returns the answer to a SendMessageBatch. sent has what became of each entry, which OmitEntry leaves out of
// the answer, and to whose checksum WrongMD5 writes another.
func (p plan) sendBatch(entries []fakewire.BatchEntry, sent []fakebroker.Sent) batchAnswer[sentEntry] {
	out := batchAnswer[sentEntry]{Successful: []sentEntry{}}
	for i := range sent {
		f := p.entries[i]
		switch {
		case f != nil && f.Kind == OmitEntry:
			continue
		case sent[i].Err != nil:
			out.Failed = append(out.Failed, refused(entries[i].ID, sent[i].Err))
			continue
		case f != nil && f.Kind == WrongMD5:
			sent[i].BodyMD5 = wrongMD5
		}
		out.Successful = append(out.Successful, accepted(entries[i].ID, &sent[i]))
	}
	return out
}

func malformed(err error) *fakebroker.Error {
	return fakebroker.Fault("MalformedInput", "com.amazon.coral.service#SerializationException", "%s", err)
}

// resourceName returns the name at the end of a queue's URL or an ARN; a text with neither slash nor colon is
// returned as it is.
func resourceName(ref string) string { return ref[strings.LastIndexAny(ref, "/:")+1:] }

func (s *Server) queue(url string) (*fakebroker.Queue, error) {
	if url == "" {
		return nil, fakebroker.MissingParameter("QueueUrl")
	}
	return s.broker.Queue(url)
}
