package broker

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"strconv"
)

const member = "PublishBatchRequestEntries.member."

// readSNS reads the message of a Publish or the entries of a PublishBatch from the form in c.body, and adds
// them to c.batch. It fails with errForm for a malformed form, or an entry with a number outside of 1 to 10.
func (c *connection) readSNS(op operation) error {
	if op == snsSend {
		c.batch = append(c.batch, message{})
	}
	for rest := c.body; len(rest) > 0; {
		var pair []byte
		pair, rest, _ = bytes.Cut(rest, []byte("&"))
		field, value, _ := bytes.Cut(pair, []byte("="))
		n := 1
		if op == snsBatch {
			key, ok := bytes.CutPrefix(field, []byte(member))
			if !ok {
				continue
			}
			var number []byte
			var err error
			number, field, _ = bytes.Cut(key, []byte("."))
			if n, err = strconv.Atoi(string(number)); err != nil || n < 1 || n > 10 {
				return errForm
			}
			for len(c.batch) < n {
				c.batch = append(c.batch, message{})
			}
		}
		if !c.batch[n-1].set(field, value) {
			return errForm
		}
	}
	if len(c.batch) == 0 {
		return errForm
	}
	return nil
}

// set sets the field of m that the form field of that name has; other fields are ignored. It returns false for
// a group id or deduplication id that is not one of package load.
func (m *message) set(field, value []byte) bool {
	ok := true
	switch string(field) {
	case "Id":
		m.id = value
	case "Message":
		m.sum = md5.Sum(unescape(value))
	case "MessageGroupId":
		m.group, ok = groupNumber(unescape(value))
	case "MessageDeduplicationId":
		m.event, ok = eventNumber(value)
	}
	return ok
}

// unescape decodes a form value: it overwrites b with the result and returns that part of b. A percent sign
// that begins no escape stays.
func unescape(b []byte) []byte {
	to := 0
	for at := 0; at < len(b); at++ {
		c := b[at]
		switch {
		case c == '+':
			c = ' '
		case c == '%' && at+2 < len(b):
			var decoded [1]byte
			if _, err := hex.Decode(decoded[:], b[at+1:at+3]); err == nil {
				c = decoded[0]
				at += 2
			}
		}
		b[to] = c
		to++
	}
	return b[:to]
}

func (c *connection) answerSNS(first int) {
	out := c.answer[:0]
	out = append(out, `<PublishResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><PublishResult><MessageId>`...)
	out = append(append(out, MessageID(first)...), `</MessageId><SequenceNumber>`...)
	out = append(append(out, SequenceNumber(first)...), `</SequenceNumber></PublishResult>`...)
	out = append(out, `<ResponseMetadata><RequestId>0</RequestId></ResponseMetadata></PublishResponse>`...)
	c.answer = out
}

func (c *connection) answerSNSBatch(first int) {
	out := c.answer[:0]
	out = append(out, `<PublishBatchResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><PublishBatchResult><Failed/><Successful>`...)
	for i := range c.batch {
		out = append(append(out, `<member><MessageId>`...), MessageID(first+i)...)
		out = append(append(out, `</MessageId><Id>`...), c.batch[i].id...)
		out = append(append(out, `</Id><SequenceNumber>`...), SequenceNumber(first+i)...)
		out = append(out, `</SequenceNumber></member>`...)
	}
	out = append(out, `</Successful></PublishBatchResult><ResponseMetadata><RequestId>0</RequestId></ResponseMetadata></PublishBatchResponse>`...)
	c.answer = out
}

// groupNumber returns 123 for the group id "bench:123", and false for a group id of another form.
func groupNumber(group []byte) (int64, bool) {
	digits, ok := bytes.CutPrefix(group, []byte("bench:"))
	n, err := strconv.ParseInt(string(digits), 10, 64)
	return n, ok && err == nil
}

// eventNumber returns the number in the last 14 hexadecimal digits of an event id, as load.EventID has it, and
// false for an id that is not 36 characters long or has other characters there.
func eventNumber(id []byte) (int64, bool) {
	if len(id) != 36 {
		return 0, false
	}
	var digits [14]byte
	copy(digits[:2], id[21:23])
	copy(digits[2:], id[24:])
	n, err := strconv.ParseInt(string(digits[:]), 16, 64)
	return n, err == nil
}
