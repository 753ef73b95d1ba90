package sqssink

import (
	"net/http"
	"strconv"

	"github.com/serverless-outbox/serverless-outbox/internal/aws/wire"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

// codec writes and reads SendMessageBatch, in the AWS JSON 1.0 protocol, for one queue.
type codec struct{ url string }

var _ wire.Codec = (*codec)(nil)

// Header implements [wire.Codec].
func (*codec) Header() http.Header {
	return http.Header{
		"Content-Type":      {"application/x-amz-json-1.0"},
		"X-Amz-Target":      {"AmazonSQS.SendMessageBatch"},
		"X-Amzn-Query-Mode": {"true"},
	}
}

// AppendRequest implements [wire.Codec] with the JSON of a SendMessageBatchRequest.
func (c *codec) AppendRequest(dst []byte, msgs []outbox.Message) []byte {
	dst = append(dst, `{"Entries":[`...)
	for i := range msgs {
		m := &msgs[i]
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"Id":"`...)
		dst = strconv.AppendInt(dst, int64(i), 10)
		dst = append(dst, '"')
		if len(m.Attributes) > 0 {
			dst = append(dst, `,"MessageAttributes":{`...)
			dst = appendAttributes(dst, m.Attributes)
			dst = append(dst, '}')
		}
		dst = wire.AppendJSON(append(dst, `,"MessageBody":`...), m.Body)
		dst = wire.AppendJSON(append(dst, `,"MessageDeduplicationId":`...), m.DeduplicationID)
		dst = wire.AppendJSON(append(dst, `,"MessageGroupId":`...), m.GroupID)
		dst = append(dst, '}')
	}
	dst = wire.AppendJSON(append(dst, `],"QueueUrl":`...), c.url)
	return append(dst, '}')
}

// appendAttributes returns dst with the members of the JSON object MessageAttributes appended.
func appendAttributes(dst []byte, attributes []outbox.Attribute) []byte {
	for k := range attributes {
		a := &attributes[k]
		if k > 0 {
			dst = append(dst, ',')
		}
		dst = wire.AppendJSON(dst, a.Name)
		dst = append(dst, `:{"DataType":"String","StringValue":`...)
		dst = append(wire.AppendJSON(dst, a.Value), '}')
	}
	return dst
}

// ReadAnswer implements [wire.Codec] for the JSON of a SendMessageBatchResult. It returns false at an escaped
// character, and at a member that is unknown, comes twice or is in another form.
func (*codec) ReadAnswer(body []byte, into *wire.Entries) bool {
	s := wire.Scan(body)
	var successes, failures bool
	s.Expect("{")
	for more := !s.Accept("}"); more && !s.Failed(); more = another(&s, "}") {
		switch {
		case s.Accept(`"Successful"`) && !successes:
			successes = true
			readEntries(&s, into, true)
		case s.Accept(`"Failed"`) && !failures:
			failures = true
			readEntries(&s, into, false)
		default:
			s.Fail()
		}
	}
	return s.Done()
}

// another reads what comes behind an element of a list or object: it returns true at a comma, and false at end, the
// closing bracket or brace. At anything else it fails the scanner and returns false.
func another(s *wire.Scanner, end string) bool {
	if s.Accept(",") {
		return true
	}
	s.Expect(end)
	return false
}

// readEntries reads a list of entries, and the colon before it, into into. accepted says that it is the list of the
// messages that were accepted, not of those refused. It fails the scanner at more than batch.MaxEntries entries.
func readEntries(s *wire.Scanner, into *wire.Entries, accepted bool) {
	s.Expect(":")
	s.Expect("[")
	for more := !s.Accept("]"); more && !s.Failed(); more = another(s, "]") {
		if e := into.Add(accepted); e != nil {
			readEntry(s, e)
		} else {
			s.Fail()
		}
	}
}

// readEntry reads one entry, a JSON object, into e.
func readEntry(s *wire.Scanner, e *wire.Entry) {
	s.Expect("{")
	for more := !s.Accept("}"); more && !s.Failed(); more = another(s, "}") {
		s.Expect(`"`)
		name := s.Until('"')
		s.Expect(":")
		readMember(s, e, name)
	}
}

// readMember reads the value of the member name of an entry into e. It fails the scanner at an unknown name, and at
// the second text with one name.
func readMember(s *wire.Scanner, e *wire.Entry, name []byte) {
	var text *[]byte
	var ignored []byte
	switch string(name) {
	case "Id":
		text = &e.ID
	case "MessageId":
		text = &e.MessageID
	case "SequenceNumber":
		text = &e.SequenceNumber
	case "MD5OfMessageBody":
		text = &e.MD5
	case "MD5OfMessageAttributes":
		text = &ignored
	case "Code":
		text = &e.Code
	case "Message":
		text = &e.Message
	case "SenderFault":
		e.SenderFault = s.Accept("true")
		if !e.SenderFault {
			s.Expect("false")
		}
		return
	default:
		s.Fail()
		return
	}
	if *text != nil {
		s.Fail()
		return
	}
	s.Expect(`"`)
	*text = s.Until('"')
}
