package snssink

import (
	"net/http"
	"strconv"

	"github.com/serverless-outbox/serverless-outbox/internal/aws/wire"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

// codec writes and reads PublishBatch, in the AWS Query protocol, for one topic.
type codec struct{ arn string }

var _ wire.Codec = (*codec)(nil)

// Header implements [wire.Codec].
func (*codec) Header() http.Header {
	return http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
}

const (
	prefixEntry     = "&PublishBatchRequestEntries.member."
	prefixAttribute = ".MessageAttributes.entry."
)

// AppendRequest implements [wire.Codec] with the form of a PublishBatch.
func (c *codec) AppendRequest(dst []byte, msgs []outbox.Message) []byte {
	dst = append(dst, `Action=PublishBatch&Version=2010-03-31&TopicArn=`...)
	dst = wire.AppendForm(dst, c.arn)
	for i := range msgs {
		m := &msgs[i]
		var scratch [len(prefixEntry) + 20]byte
		entry := strconv.AppendInt(append(scratch[:0], prefixEntry...), int64(i+1), 10)
		dst = append(append(dst, entry...), ".Id="...)
		dst = strconv.AppendInt(dst, int64(i), 10)
		dst = append(append(dst, entry...), ".Message="...)
		dst = wire.AppendForm(dst, m.Body)
		dst = append(append(dst, entry...), ".MessageGroupId="...)
		dst = wire.AppendForm(dst, m.GroupID)
		dst = append(append(dst, entry...), ".MessageDeduplicationId="...)
		dst = wire.AppendForm(dst, m.DeduplicationID)
		for k := range m.Attributes {
			dst = appendAttribute(dst, entry, k+1, &m.Attributes[k])
		}
	}
	return dst
}

// appendAttribute returns dst with the form fields of the attribute a appended. entry is the prefix that all fields
// of its message begin with. number is which of the message's attributes a is, from 1.
func appendAttribute(dst, entry []byte, number int, a *outbox.Attribute) []byte {
	var scratch [len(prefixEntry) + len(prefixAttribute) + 40]byte
	key := append(append(scratch[:0], entry...), prefixAttribute...)
	key = strconv.AppendInt(key, int64(number), 10)
	dst = append(append(dst, key...), ".Name="...)
	dst = wire.AppendForm(dst, a.Name)
	dst = append(append(dst, key...), ".Value.DataType=String"...)
	dst = append(append(dst, key...), ".Value.StringValue="...)
	return wire.AppendForm(dst, a.Value)
}

// ReadAnswer implements [wire.Codec] for the XML of a PublishBatchResponse. It returns false at an entity, and at an
// element that is unknown, comes twice or is in another form.
func (*codec) ReadAnswer(body []byte, into *wire.Entries) bool {
	s := wire.Scan(body)
	if s.Accept(`<?xml version="1.0"`) {
		s.Accept(`encoding="UTF-8"`)
		s.Expect("?>")
	}
	s.Expect(`<PublishBatchResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/">`)
	s.Expect("<PublishBatchResult>")
	var successes, failures bool
	for !s.Failed() && !s.Accept("</PublishBatchResult>") {
		switch {
		case !successes && s.Accept("<Successful/>"), !successes && s.Accept("<Successful></Successful>"):
			successes = true
		case !successes && s.Accept("<Successful>"):
			successes = true
			readEntries(&s, into, true, "</Successful>")
		case !failures && s.Accept("<Failed/>"), !failures && s.Accept("<Failed></Failed>"):
			failures = true
		case !failures && s.Accept("<Failed>"):
			failures = true
			readEntries(&s, into, false, "</Failed>")
		default:
			s.Fail()
		}
	}
	if s.Accept("<ResponseMetadata>") {
		s.Expect("<RequestId>")
		s.Until('<')
		s.Expect("/RequestId>")
		s.Expect("</ResponseMetadata>")
	}
	s.Expect("</PublishBatchResponse>")
	return s.Done()
}

// readEntries reads a list of entries, up to the tag end behind it, into into. accepted says that it is the list of
// the messages that were accepted, not of those refused. It fails the scanner at more than batch.MaxEntries entries.
func readEntries(s *wire.Scanner, into *wire.Entries, accepted bool, end string) {
	for !s.Failed() && !s.Accept(end) {
		s.Expect("<member>")
		e := into.Add(accepted)
		if e == nil {
			s.Fail()
			return
		}
		for !s.Failed() && !s.Accept("</member>") {
			readMember(s, e)
		}
	}
}

// readMember reads one member of an entry, an element with its tags, into e. It fails the scanner at an unknown tag,
// and at the second text with one tag.
func readMember(s *wire.Scanner, e *wire.Entry) {
	var text *[]byte
	var end string
	switch {
	case s.Accept("<Id>"):
		text, end = &e.ID, "/Id>"
	case e.Accepted && s.Accept("<MessageId>"):
		text, end = &e.MessageID, "/MessageId>"
	case e.Accepted && s.Accept("<SequenceNumber>"):
		text, end = &e.SequenceNumber, "/SequenceNumber>"
	case !e.Accepted && s.Accept("<Code>"):
		text, end = &e.Code, "/Code>"
	case !e.Accepted && s.Accept("<Message>"):
		text, end = &e.Message, "/Message>"
	case !e.Accepted && s.Accept("<SenderFault>true</SenderFault>"):
		e.SenderFault = true
		return
	case !e.Accepted && s.Accept("<SenderFault>false</SenderFault>"):
		return
	default:
		s.Fail()
		return
	}
	if *text != nil {
		s.Fail()
		return
	}
	*text = s.Until('<')
	s.Expect(end)
}
