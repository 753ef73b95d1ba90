package wire

import "unicode/utf8"

// Scanner reads an answer, JSON or XML, in the plain form in which the services write it. At anything else it
// fails, and every later step does nothing. A codec need not look for that after each step: it asks for Failed
// in its loops, and for Done at the end.
type Scanner struct {
	// rest is what has not been read.
	rest   []byte
	failed bool
}

// Scan returns a scanner of body.
func Scan(body []byte) Scanner { return Scanner{rest: body} }

// Failed is true when the answer was not in the plain form.
func (s *Scanner) Failed() bool { return s.failed }

// Fail marks the answer as not in the plain form.
func (s *Scanner) Fail() { s.failed = true }

// Done is true when the body was read to its end, white space aside, and all of
// it was in the plain form.
func (s *Scanner) Done() bool {
	s.space()
	return !s.failed && len(s.rest) == 0
}

// space skips white space: the four characters that are it in JSON and in XML.
func (s *Scanner) space() {
	for len(s.rest) > 0 {
		switch s.rest[0] {
		case ' ', '\t', '\n', '\r':
			s.rest = s.rest[1:]
		default:
			return
		}
	}
}

// Accept reads white space and then token, if that is next, and returns whether it was.
func (s *Scanner) Accept(token string) bool {
	s.space()
	if s.failed || len(s.rest) < len(token) || string(s.rest[:len(token)]) != token {
		return false
	}
	s.rest = s.rest[len(token):]
	return true
}

// Expect reads token and fails when it is not next.
func (s *Scanner) Expect(token string) {
	if !s.Accept(token) {
		s.failed = true
	}
}

// Until reads text up to delimiter, and the delimiter, and returns the text: a
// part of the body. It fails at characters that can have a meaning of their own
// in JSON or XML, and at all that is not printable ASCII.
func (s *Scanner) Until(delimiter byte) []byte {
	for i, c := range s.rest {
		if c == delimiter {
			text := s.rest[:i]
			s.rest = s.rest[i+1:]
			return text
		}
		if c < ' ' || c >= utf8.RuneSelf-1 || c == '\\' || c == '&' || c == '<' || c == '>' || c == '"' {
			break
		}
	}
	s.failed = true
	return nil
}
