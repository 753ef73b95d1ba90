package snssink

import (
	"github.com/serverless-outbox/serverless-outbox/internal/aws/wire"
)

// readAnswer reads the XML of a PublishBatchResponse. It is false for all that
// the SDK has to look at: another form, an entity, an element that it does not
// know or that comes twice.
func readAnswer(body []byte, into *wire.Entries) bool {
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
	return s.Done() && !into.Repeated()
}

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
