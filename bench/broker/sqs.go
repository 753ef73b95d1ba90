package broker

import (
	"crypto/md5"
	"encoding/hex"
	"errors"
	"unicode/utf16"
	"unicode/utf8"
)

var errForm = errors.New("malformed request")

// readSQS reads the SendMessageRequest in c.body and adds its message to c.batch. It fails with errForm for a
// malformed request.
func (c *connection) readSQS() error {
	p := parser{in: c.body}
	c.batch = append(c.batch, p.message())
	if p.failed {
		return errForm
	}
	return nil
}

// readSQSBatch reads the SendMessageBatchRequest in c.body and adds its messages to c.batch. It fails with
// errForm for a malformed request, and unless there are one to ten messages.
func (c *connection) readSQSBatch() error {
	p := parser{in: c.body}
	p.object(func(key []byte) {
		if string(key) != "Entries" {
			p.skip()
			return
		}
		p.array(func() { c.batch = append(c.batch, p.message()) })
	})
	if p.failed || len(c.batch) == 0 || len(c.batch) > 10 {
		return errForm
	}
	return nil
}

func (c *connection) answerSQS(first int) {
	out := c.answer[:0]
	out = append(append(out, `{"MessageId":"`...), MessageID(first)...)
	out = hex.AppendEncode(append(out, `","MD5OfMessageBody":"`...), c.batch[0].sum[:])
	out = append(append(out, `","SequenceNumber":"`...), SequenceNumber(first)...)
	out = append(out, `"}`...)
	c.answer = out
}

func (c *connection) answerSQSBatch(first int) {
	out := c.answer[:0]
	out = append(out, `{"Successful":[`...)
	for i := range c.batch {
		m := &c.batch[i]
		if i > 0 {
			out = append(out, ',')
		}
		out = append(append(out, `{"Id":"`...), m.id...)
		out = append(append(out, `","MessageId":"`...), MessageID(first+i)...)
		out = hex.AppendEncode(append(out, `","MD5OfMessageBody":"`...), m.sum[:])
		out = append(append(out, `","SequenceNumber":"`...), SequenceNumber(first+i)...)
		out = append(out, `"}`...)
	}
	out = append(out, `]}`...)
	c.answer = out
}

// parser reads the JSON text in without building values; at is how far it has come. At what it does not
// understand it sets failed, and then reads no more: its methods return zero values.
type parser struct {
	in     []byte
	at     int
	failed bool
}

// message reads a JSON object with the fields of a message. A group id or deduplication id that is not one of
// package load sets p.failed.
func (p *parser) message() message {
	var m message
	p.object(func(key []byte) {
		switch string(key) {
		case "Id":
			m.id = p.text()
		case "MessageBody":
			m.sum = md5.Sum(p.text())
		case "MessageGroupId":
			m.group = p.number(groupNumber(p.text()))
		case "MessageDeduplicationId":
			m.event = p.number(eventNumber(p.text()))
		default:
			p.skip()
		}
	})
	return m
}

func (p *parser) next() byte {
	for p.at < len(p.in) {
		switch c := p.in[p.at]; c {
		case ' ', '\n', '\t', '\r':
			p.at++
		default:
			return c
		}
	}
	p.failed = true
	return 0
}

func (p *parser) expect(c byte) {
	if p.failed || p.next() != c {
		p.failed = true
		return
	}
	p.at++
}

func (p *parser) number(n int64, ok bool) int64 {
	p.failed = p.failed || !ok
	return n
}

func (p *parser) object(member func(key []byte)) {
	p.expect('{')
	for !p.failed && p.next() != '}' {
		key := p.text()
		p.expect(':')
		if p.failed {
			return
		}
		member(key)
		if p.next() == ',' {
			p.at++
		}
	}
	p.expect('}')
}

func (p *parser) array(element func()) {
	p.expect('[')
	for !p.failed && p.next() != ']' {
		element()
		if p.next() == ',' {
			p.at++
		}
	}
	p.expect(']')
}

// skip reads past a value, which must be a string, an object or an array: the requests that send have no others.
func (p *parser) skip() {
	depth := 0
	for !p.failed {
		switch p.next() {
		case '"':
			p.text()
		case '{', '[':
			depth++
			p.at++
			continue
		case '}', ']':
			depth--
			p.at++
		default:
			p.at++
			continue
		}
		if depth == 0 {
			return
		}
	}
}

// text reads a JSON string and returns it without escapes. What it returns lies in p.in, which it overwrites. A
// text that is no string or has no end sets p.failed.
func (p *parser) text() []byte {
	p.expect('"')
	if p.failed {
		return nil
	}
	from, to := p.at, p.at
	for p.at < len(p.in) {
		c := p.in[p.at]
		p.at++
		if c == '"' {
			return p.in[from:to]
		}
		if c == '\\' {
			to += p.escape(p.in[to:to])
			continue
		}
		p.in[to] = c
		to++
	}
	p.failed = true
	return nil
}

// escape reads what follows a backslash, and returns how many bytes the character takes in UTF-8. dst is an
// empty slice within p.in: the character overwrites the input there. Any letter but n, t, r and u stands for
// itself; an escape that is cut short, or without four hexadecimal digits after u, sets p.failed.
func (p *parser) escape(dst []byte) int {
	if p.at >= len(p.in) {
		p.failed = true
		return 0
	}
	c := p.in[p.at]
	p.at++
	switch c {
	case 'n':
		c = '\n'
	case 't':
		c = '\t'
	case 'r':
		c = '\r'
	case 'u':
		r := p.hex4()
		if utf16.IsSurrogate(r) && p.at+1 < len(p.in) && p.in[p.at] == '\\' && p.in[p.at+1] == 'u' {
			p.at += 2
			r = utf16.DecodeRune(r, p.hex4())
		}
		return len(utf8.AppendRune(dst, r))
	}
	return len(append(dst, c))
}

func (p *parser) hex4() rune {
	var b [2]byte
	if p.at+4 > len(p.in) {
		p.failed = true
		return 0
	}
	if _, err := hex.Decode(b[:], p.in[p.at:p.at+4]); err != nil {
		p.failed = true
	}
	p.at += 4
	return rune(b[0])<<8 | rune(b[1])
}
