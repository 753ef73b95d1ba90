package limit

import (
	"bufio"
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
	"time"

	"github.com/serverless-outbox/serverless-outbox/internal/aws/wire"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

// client is one HTTP connection to the broker. It sends one request at a time, signed with the access key
// "test" and the secret "test", and is not safe for concurrent use.
type client struct {
	conn net.Conn
	in   *bufio.Reader
	host string
	// queue is the URL of the queue, as a JSON string with its quotes.
	queue []byte
	// key is the signing key of the day, which is written as YYYYMMDD.
	day string
	key []byte
	// body and out are the body and the header of the latest request, answer the body of its answer.
	body, out, answer []byte
}

// dial connects to the host of the queue's URL.
func dial(ctx context.Context, queue string) (*client, error) {
	u, err := url.Parse(queue)
	if err != nil {
		return nil, err
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", u.Host)
	if err != nil {
		return nil, err
	}
	return &client{conn: conn, in: bufio.NewReaderSize(conn, 16<<10), host: u.Host, queue: wire.AppendJSON(nil, queue)}, nil
}

func (c *client) close() { _ = c.conn.Close() }

// send sends msgs in one SendMessageBatch, and sets the message id and sequence number of each in accepted,
// which is as long as msgs. It fails unless all messages were accepted.
func (c *client) send(msgs []outbox.Message, accepted []relay.Accepted) error {
	c.encode(msgs)
	c.sign(time.Now().UTC())
	if _, err := c.conn.Write(append(c.out, c.body...)); err != nil {
		return err
	}
	if err := c.receive(); err != nil {
		return err
	}
	return decode(c.answer, accepted)
}

// encode sets c.body to the SendMessageBatch of msgs, with their places from 0 as ids.
func (c *client) encode(msgs []outbox.Message) {
	b := append(append(c.body[:0], `{"QueueUrl":`...), c.queue...)
	b = append(b, `,"Entries":[`...)
	for i := range msgs {
		m := &msgs[i]
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(append(b, `{"Id":"`...), int64(i), 10)
		b = wire.AppendJSON(append(b, `","MessageBody":`...), m.Body)
		b = wire.AppendJSON(append(b, `,"MessageGroupId":`...), m.GroupID)
		b = wire.AppendJSON(append(b, `,"MessageDeduplicationId":`...), m.DeduplicationID)
		b = append(b, `,"MessageAttributes":{`...)
		for k := range m.Attributes {
			if k > 0 {
				b = append(b, ',')
			}
			b = wire.AppendJSON(b, m.Attributes[k].Name)
			b = wire.AppendJSON(append(b, `:{"DataType":"String","StringValue":`...), m.Attributes[k].Value)
			b = append(b, '}')
		}
		b = append(b, `}}`...)
	}
	b = append(b, `]}`...)
	c.body = b
}

const signedHeaders = "content-type;host;x-amz-date;x-amz-target"

// sign sets c.out to the header of the request whose body is c.body, signed with Signature Version 4 for the
// time now, in UTC.
func (c *client) sign(now time.Time) {
	stamp := now.Format("20060102T150405Z")
	day := stamp[:8]
	scope := day + "/us-east-1/sqs/aws4_request"
	if c.day != day {
		c.day, c.key = day, []byte("AWS4test")
		for _, part := range []string{day, "us-east-1", "sqs", "aws4_request"} {
			c.key = mac(c.key, part)
		}
	}
	hash := sha256.Sum256(c.body)
	canonical := "POST\n/\n\ncontent-type:application/x-amz-json-1.0\nhost:" + c.host + "\nx-amz-date:" + stamp +
		"\nx-amz-target:AmazonSQS.SendMessageBatch\n\n" + signedHeaders + "\n" + hex.EncodeToString(hash[:])
	request := sha256.Sum256([]byte(canonical))
	signature := mac(c.key, "AWS4-HMAC-SHA256\n"+stamp+"\n"+scope+"\n"+hex.EncodeToString(request[:]))
	b := append(append(c.out[:0], "POST / HTTP/1.1\r\nHost: "...), c.host...)
	b = append(b, "\r\nContent-Type: application/x-amz-json-1.0\r\nX-Amz-Target: AmazonSQS.SendMessageBatch\r\nX-Amz-Date: "...)
	b = append(append(b, stamp...), "\r\nAuthorization: AWS4-HMAC-SHA256 Credential=test/"...)
	b = append(append(b, scope...), ", SignedHeaders="+signedHeaders+", Signature="...)
	b = hex.AppendEncode(b, signature)
	b = strconv.AppendInt(append(b, "\r\nContent-Length: "...), int64(len(c.body)), 10)
	b = append(b, "\r\n\r\n"...)
	c.out = b
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	_, _ = io.WriteString(h, text)
	return h.Sum(nil)
}

// receive reads the answer to a request and sets c.answer to its body. It fails for a status other than 200.
func (c *client) receive() error {
	line, err := c.in.ReadSlice('\n')
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(line, []byte("HTTP/1.1 200 ")) {
		return fmt.Errorf("answered %q", line)
	}
	length := 0
	for len(line) > 2 {
		if line, err = c.in.ReadSlice('\n'); err != nil {
			return err
		}
		if text, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(text))); err != nil {
				return err
			}
		}
	}
	if cap(c.answer) < length {
		c.answer = make([]byte, length)
	}
	c.answer = c.answer[:length]
	_, err = io.ReadFull(c.in, c.answer)
	return err
}

var errAnswer = errors.New("an answer in another form than that of package broker")

// decode sets the message ids and sequence numbers in accepted from an answer of package broker, which lists
// the messages in the order of the request. It fails with errAnswer when one is missing.
func decode(answer []byte, accepted []relay.Accepted) error {
	for i := range accepted {
		a := &accepted[i]
		var ok bool
		if a.MessageID, answer, ok = member(answer, `"MessageId":"`); !ok {
			return errAnswer
		}
		if a.SequenceNumber, answer, ok = member(answer, `"SequenceNumber":"`); !ok {
			return errAnswer
		}
	}
	return nil
}

// member returns the text behind the next occurrence of key in b, up to a quotation mark, and what follows it in b.
func member(b []byte, key string) (value string, rest []byte, ok bool) {
	_, b, ok = bytes.Cut(b, []byte(key))
	text, b, found := bytes.Cut(b, []byte(`"`))
	return string(text), b, ok && found
}
