package wire

import "unicode/utf8"

// Scanner reads an answer in the plain form in which the services write it. It
// gives up at anything else: Failed is then true, and stays so.
type Scanner struct {
	rest   []byte
	failed bool
}

// Scan returns a scanner of body.
func Scan(body []byte) Scanner { return Scanner{rest: body} }

// Failed is true when the answer was not in the plain form.
func (s *Scanner) Failed() bool { return s.failed }

// Fail gives up.
func (s *Scanner) Fail() { s.failed = true }

// Done is true when all was read and nothing failed, but for space at the end.
func (s *Scanner) Done() bool {
	s.space()
	return !s.failed && len(s.rest) == 0
}

// space skips white space, of which JSON and XML know the same.
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

// Accept reads token, behind white space, if it is next.
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

// Until reads text up to delimiter, and the delimiter. It fails at characters
// that can have a meaning of their own in JSON or XML, and at all that is not
// printable ASCII. The text is a part of the body.
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
