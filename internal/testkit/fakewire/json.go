// Package fakewire decodes and encodes the protocols of SQS (JSON 1.0) and SNS
// (Query) where speed matters.
package fakewire

import (
	"errors"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// ErrSyntax is returned for input that is not JSON, or not of the wanted kind.
var ErrSyntax = errors.New("malformed JSON")

// maxDepth bounds the nesting of skipped values.
const maxDepth = 200

// JSON reads one JSON text from front to back. Every method returns ErrSyntax
// when the next value is of another kind.
type JSON struct {
	in    string
	pos   int
	depth int
}

// NewJSON returns a reader of in. Strings without escapes share its memory.
func NewJSON(in string) *JSON { return &JSON{in: in} }

func (j *JSON) space() {
	for j.pos < len(j.in) {
		switch j.in[j.pos] {
		case ' ', '\t', '\n', '\r':
			j.pos++
		default:
			return
		}
	}
}

func (j *JSON) peek() byte {
	j.space()
	if j.pos == len(j.in) {
		return 0
	}
	return j.in[j.pos]
}

func (j *JSON) expect(c byte) error {
	if j.peek() != c {
		return ErrSyntax
	}
	j.pos++
	return nil
}

// End checks that nothing follows.
func (j *JSON) End() error {
	if j.space(); j.pos != len(j.in) {
		return ErrSyntax
	}
	return nil
}

// Null consumes a null and reports whether there was one.
func (j *JSON) Null() bool {
	if j.peek() == 'n' && j.literal("null") == nil {
		return true
	}
	return false
}

// Object calls member for every member; member must consume the value.
func (j *JSON) Object(member func(key string) error) error {
	if err := j.expect('{'); err != nil {
		return err
	}
	if j.peek() == '}' {
		j.pos++
		return nil
	}
	for {
		key, err := j.String()
		if err != nil {
			return err
		}
		if err := j.expect(':'); err != nil {
			return err
		}
		if err := member(key); err != nil {
			return err
		}
		if j.peek() != ',' {
			return j.expect('}')
		}
		j.pos++
	}
}

// Array calls element for every element; element must consume it.
func (j *JSON) Array(element func() error) error {
	if err := j.expect('['); err != nil {
		return err
	}
	if j.peek() == ']' {
		j.pos++
		return nil
	}
	for {
		if err := element(); err != nil {
			return err
		}
		if j.peek() != ',' {
			return j.expect(']')
		}
		j.pos++
	}
}

// String returns the next value, a string. Invalid UTF-8 and lone surrogates
// become U+FFFD, as with encoding/json.
func (j *JSON) String() (string, error) {
	if err := j.expect('"'); err != nil {
		return "", err
	}
	start := j.pos
	for j.pos < len(j.in) {
		switch c := j.in[j.pos]; {
		case c == '"':
			s := j.in[start:j.pos]
			j.pos++
			return s, nil
		case c == '\\' || c >= utf8.RuneSelf:
			return j.escaped(start)
		case c < ' ':
			return "", ErrSyntax
		}
		j.pos++
	}
	return "", ErrSyntax
}

// escaped continues a string that cannot be used as it stands.
func (j *JSON) escaped(start int) (string, error) {
	buf := append(make([]byte, 0, (j.pos-start)+len(j.in[j.pos:])/8+32), j.in[start:j.pos]...)
	for j.pos < len(j.in) {
		c := j.in[j.pos]
		switch {
		case c == '"':
			j.pos++
			return string(buf), nil
		case c < ' ':
			return "", ErrSyntax
		case c >= utf8.RuneSelf:
			r, n := utf8.DecodeRuneInString(j.in[j.pos:])
			buf = utf8.AppendRune(buf, r)
			j.pos += n
		case c != '\\':
			buf = append(buf, c)
			j.pos++
		default:
			var err error
			if buf, err = j.escape(buf); err != nil {
				return "", err
			}
		}
	}
	return "", ErrSyntax
}

func (j *JSON) escape(buf []byte) ([]byte, error) {
	if j.pos+1 >= len(j.in) {
		return nil, ErrSyntax
	}
	c := j.in[j.pos+1]
	j.pos += 2
	switch c {
	case '"', '\\', '/':
		return append(buf, c), nil
	case 'b':
		return append(buf, '\b'), nil
	case 'f':
		return append(buf, '\f'), nil
	case 'n':
		return append(buf, '\n'), nil
	case 'r':
		return append(buf, '\r'), nil
	case 't':
		return append(buf, '\t'), nil
	case 'u':
		r, ok := j.hex()
		if !ok {
			return nil, ErrSyntax
		}
		j.pos += 4
		if utf16.IsSurrogate(r) {
			first := r
			r = utf8.RuneError
			if j.pos+6 <= len(j.in) && j.in[j.pos:j.pos+2] == `\u` {
				j.pos += 2
				second, ok := j.hex()
				if pair := utf16.DecodeRune(first, second); ok && pair != utf8.RuneError {
					r = pair
					j.pos += 4
				} else {
					j.pos -= 2
				}
			}
		}
		return utf8.AppendRune(buf, r), nil
	}
	return nil, ErrSyntax
}

func (j *JSON) hex() (rune, bool) {
	if j.pos+4 > len(j.in) {
		return 0, false
	}
	var r rune
	for _, c := range []byte(j.in[j.pos : j.pos+4]) {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// Int returns the next value, a whole number.
func (j *JSON) Int() (int, error) {
	raw, err := j.number()
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(raw)
	if err != nil {
		return 0, ErrSyntax
	}
	return n, nil
}

func (j *JSON) number() (string, error) {
	j.space()
	start := j.pos
	digits := func() bool {
		from := j.pos
		for j.pos < len(j.in) && '0' <= j.in[j.pos] && j.in[j.pos] <= '9' {
			j.pos++
		}
		return j.pos > from
	}
	at := func(chars string) bool {
		for i := range len(chars) {
			if j.pos < len(j.in) && j.in[j.pos] == chars[i] {
				return true
			}
		}
		return false
	}
	if at("-") {
		j.pos++
	}
	zero := at("0")
	first := j.pos
	if !digits() || zero && j.pos > first+1 {
		return "", ErrSyntax
	}
	if at(".") {
		j.pos++
		if !digits() {
			return "", ErrSyntax
		}
	}
	if at("eE") {
		j.pos++
		if at("+-") {
			j.pos++
		}
		if !digits() {
			return "", ErrSyntax
		}
	}
	return j.in[start:j.pos], nil
}

func (j *JSON) literal(word string) error {
	if len(j.in)-j.pos < len(word) || j.in[j.pos:j.pos+len(word)] != word {
		return ErrSyntax
	}
	j.pos += len(word)
	return nil
}

// Skip consumes the next value, whatever it is.
func (j *JSON) Skip() error {
	if j.depth++; j.depth > maxDepth {
		return ErrSyntax
	}
	defer func() { j.depth-- }()
	switch j.peek() {
	case '{':
		return j.Object(func(string) error { return j.Skip() })
	case '[':
		return j.Array(j.Skip)
	case '"':
		_, err := j.String()
		return err
	case 't':
		return j.literal("true")
	case 'f':
		return j.literal("false")
	case 'n':
		return j.literal("null")
	}
	_, err := j.number()
	return err
}

// AppendJSON appends s as a JSON string.
func AppendJSON(dst []byte, s string) []byte {
	const hexDigits = "0123456789abcdef"
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && n == 1 {
				dst = append(append(dst, s[start:i]...), `\ufffd`...)
				start = i + 1
			}
			i += n
			continue
		}
		dst = append(dst, s[start:i]...)
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
		i++
		start = i
	}
	return append(append(dst, s[start:]...), '"')
}
