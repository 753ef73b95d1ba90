package awsfake

import (
	"context"
	"net/http"
	"strconv"
	"strings"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/fakebroker"
	"github.com/serverless-outbox/serverless-outbox/internal/testkit/fakewire"
)

const (
	xmlType      = "text/xml"
	snsNamespace = "http://sns.amazonaws.com/doc/2010-03-31/"
	metadata     = `<ResponseMetadata><RequestId>` + requestID + `</RequestId></ResponseMetadata>`
)

// xmlAnswer returns the answer to a successful operation in the XML of the Query protocol. result is the XML
// that the operation returns, nil for none.
func xmlAnswer(namespace, operation string, result []byte) answer {
	out := make([]byte, 0, len(result)+256)
	out = append(append(append(out, '<'), operation...), `Response xmlns="`...)
	out = append(append(out, namespace...), `"><`...)
	out = append(append(out, operation...), `Result>`...)
	out = append(append(append(out, result...), `</`...), operation...)
	out = append(append(append(out, `Result>`...), metadata...), `</`...)
	out = append(append(out, operation...), `Response>`...)
	return answer{status: http.StatusOK, mediaType: xmlType, body: out}
}

func xmlError(err error) answer {
	e := asBrokerError(err)
	who := "Receiver"
	if e.Sender {
		who = "Sender"
	}
	out := append([]byte(`<ErrorResponse xmlns="`+snsNamespace+`"><Error><Type>`), who...)
	out = fakewire.AppendElement(append(out, `</Type>`...), "Code", e.Code)
	out = fakewire.AppendElement(out, "Message", e.Message)
	out = append(out, `</Error><RequestId>`+requestID+`</RequestId></ErrorResponse>`...)
	return answer{status: e.Status, mediaType: xmlType, body: out}
}

// snsFault returns an error of SNS with status 400 that the sender is to blame for.
func snsFault(code, message string) *fakebroker.Error {
	return fakebroker.Fault(code, "", "%s", message)
}

func checkPublishBatch(t *fakebroker.Topic, entries []fakewire.BatchEntry) *fakebroker.Error {
	ids := make([]string, len(entries))
	total := 0
	for i := range entries {
		ids[i] = entries[i].ID
		total += entries[i].Size()
	}
	if e := checkBatch(ids, "PublishBatchRequest"); e != nil {
		switch code := strings.TrimPrefix(e.Code, "AWS.SimpleQueueService."); code {
		case "EmptyBatchRequest":
			return snsFault(code, "The batch request doesn't contain any entries.")
		case "TooManyEntriesInBatchRequest":
			return snsFault(code, "The batch request contains more entries than permissible.")
		case "BatchEntryIdsNotDistinct":
			return snsFault(code, "Two or more batch entries in the request have the same Id.")
		default:
			return snsFault(code, "The Id of a batch entry in a batch request doesn't abide by the specification.")
		}
	}
	// The total may be as large as one message of the topic, and never less
	// than the 256 KiB of a topic without MaximumMessageSize.
	if total > max(t.MaxBytes(), fakebroker.MaxTopicBytes) {
		return snsFault("BatchRequestTooLong", "The length of all the messages put together is more than the limit.")
	}
	return nil
}

func (s *Server) snsPublish(ctx context.Context, operation string, f fakewire.Form) answer {
	isBatch := operation == "PublishBatch"
	b, err := fakewire.DecodePublish(f, isBatch)
	if err != nil {
		return xmlError(snsFault("MalformedQueryString", err.Error()))
	}
	p := s.faults.plan(operation, resourceName(b.Resource), groupsOf(b.Entries))
	if a, done := s.before(ctx, p, xmlError); done {
		return a
	}
	t, err := s.broker.Topic(b.Resource)
	if err != nil {
		return xmlError(err)
	}
	if isBatch {
		if fault := checkPublishBatch(t, b.Entries); fault != nil {
			return xmlError(fault)
		}
	}
	for i := range b.Entries {
		if fault := t.CheckRequired(&b.Entries[i].Entry); fault != nil {
			return xmlError(fault)
		}
	}
	sent := t.Publish(p.refuse(b.Entries))
	if !isBatch {
		if sent[0].Err != nil {
			return xmlError(sent[0].Err)
		}
		return p.after(xmlAnswer(snsNamespace, operation, appendPublished(nil, &sent[0])))
	}
	return p.after(xmlAnswer(snsNamespace, operation, p.publishBatchBody(b.Entries, sent)))
}

func (p plan) publishBatchBody(entries []fakewire.BatchEntry, sent []fakebroker.Sent) []byte {
	out := append(make([]byte, 0, 256*len(sent)), `<Successful>`...)
	for i := range sent {
		if f := p.entries[i]; sent[i].Err != nil || f != nil && f.Kind == OmitEntry {
			continue
		}
		out = fakewire.AppendElement(append(out, `<member>`...), "Id", entries[i].ID)
		out = append(appendPublished(out, &sent[i]), `</member>`...)
	}
	out = append(out, `</Successful><Failed>`...)
	for i := range sent {
		if f := p.entries[i]; sent[i].Err == nil || f != nil && f.Kind == OmitEntry {
			continue
		}
		out = fakewire.AppendElement(append(out, `<member>`...), "Id", entries[i].ID)
		out = fakewire.AppendElement(out, "Code", sent[i].Err.Code)
		out = fakewire.AppendElement(out, "Message", sent[i].Err.Message)
		out = fakewire.AppendElement(out, "SenderFault", strconv.FormatBool(sent[i].Err.Sender))
		out = append(out, `</member>`...)
	}
	return append(out, `</Failed>`...)
}

func appendPublished(out []byte, s *fakebroker.Sent) []byte {
	out = fakewire.AppendElement(out, "MessageId", s.MessageID)
	if s.SequenceNumber != "" {
		out = fakewire.AppendElement(out, "SequenceNumber", s.SequenceNumber)
	}
	return out
}
