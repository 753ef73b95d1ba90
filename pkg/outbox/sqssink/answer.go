package sqssink

import (
	"github.com/serverless-outbox/serverless-outbox/internal/aws/wire"
)

// readAnswer reads the JSON of a SendMessageBatchResult. It is false for all
// that the SDK has to look at: another form, an escaped character, a member
// that it does not know or that comes twice.
func readAnswer(body []byte, into *wire.Entries) bool {
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
	return s.Done() && !into.Repeated()
}

// another is true behind a comma, and false behind end.
func another(s *wire.Scanner, end string) bool {
	if s.Accept(",") {
		return true
	}
	s.Expect(end)
	return false
}

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

func readEntry(s *wire.Scanner, e *wire.Entry) {
	s.Expect("{")
	for more := !s.Accept("}"); more && !s.Failed(); more = another(s, "}") {
		s.Expect(`"`)
		name := s.Until('"')
		s.Expect(":")
		readMember(s, e, name)
	}
}

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
