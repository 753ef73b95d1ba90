package wire

import "unicode/utf8"

// Scanner reads an answer, JSON or XML, in the plain form in which the services write it. At anything else it fails
// for good: then Failed returns true, and Accept and Done return false. A codec need not look for a failure after
// each step, only in its loops and at the end.
type Scanner struct {
	// rest is what has not been read.
	rest   []byte
	failed bool
}

// Scan returns a scanner of body.
func Scan(body []byte) Scanner { return Scanner{rest: body} }

// Failed returns true once the answer was not in the plain form.
func (s *Scanner) Failed() bool { return s.failed }

// Fail makes Failed return true from now on.
func (s *Scanner) Fail() { s.failed = true }

// Done returns true when the body was read to its end, white space aside, and all of it was in the plain form.
func (s *Scanner) Done() bool {
	s.space()
	return !s.failed && len(s.rest) == 0
}

// space skips spaces, tabs, newlines and carriage returns.
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

// Accept skips white space, and then token if that is next. It returns whether token was next, and always false
// after a failure. An absent token is no failure.
func (s *Scanner) Accept(token string) bool {
	s.space()
	if s.failed || len(s.rest) < len(token) || string(s.rest[:len(token)]) != token {
		return false
	}
	s.rest = s.rest[len(token):]
	return true
}

// Expect skips white space and token, and fails the scanner when token is not next.
func (s *Scanner) Expect(token string) {
	if !s.Accept(token) {
		s.failed = true
	}
}

// Until skips text up to delimiter, and the delimiter, and returns the text, which is a part of the body and
// may be empty. It fails the scanner and returns nil when, before the delimiter, the body ends or has a
// character that is not printable ASCII or that can have a meaning of its own in JSON or XML: one of \ & < > ".
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
