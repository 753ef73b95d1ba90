// Package broker is a stand-in for SQS and SNS that costs little processor time: it answers the calls that send,
// of one message or a batch, after a set latency, accepts everything, and writes down what it accepted. It checks
// no signature and speaks no TLS. GET /count answers how many messages it accepted and how many requests were
// malformed, as JSON.
package broker

import (
	"bufio"
	"bytes"
	"context"
	"crypto/md5"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/serverless-outbox/serverless-outbox/bench/load"
)

// Acceptance is one message that the broker accepted, with the numbers of its event and aggregate as package
// load gives them.
type Acceptance struct {
	Number int64
	Group  int64
	// Arrived is when the request with the message had been read, Answered when its answer was handed to the
	// kernel, both in nanoseconds of the wall clock. Answered is 0 until then.
	Arrived  int64
	Answered int64
	// Sum is the first eight bytes of the MD5 of the body as a little-endian number, as load.Sum gives it.
	Sum uint64
}

// Broker accepts messages and keeps every acceptance in memory. Make it with New. It is safe for concurrent
// use.
type Broker struct {
	latency time.Duration

	mu       sync.Mutex
	accepted []Acceptance

	malformed atomic.Int64
	messages  atomic.Int64
}

// New returns a broker that answers each request that sends messages after the time latency, at once for 0.
func New(latency time.Duration) *Broker { return &Broker{latency: latency} }

// Serve answers connections of l until ctx ends, which closes l and is no error. Connections that are open then
// are still answered.
func (b *Broker) Serve(ctx context.Context, l net.Listener) error {
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	for {
		conn, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		go func() {
			defer conn.Close() //nolint:errcheck // the client decides when it is over
			c := connection{broker: b, in: bufio.NewReaderSize(conn, 32<<10), out: conn, timer: time.NewTimer(time.Hour)}
			for c.serve() == nil {
				continue
			}
		}()
	}
}

// Write writes the acceptances, in the order in which they came, to a file at path, for load.ReadRecords. An
// existing file is replaced.
func (b *Broker) Write(path string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return load.WriteRecords(path, b.accepted)
}

// MessageID returns the id that the n-th accepted message has, from 0.
func MessageID(n int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012x", n) }

// SequenceNumber returns the sequence number that the n-th accepted message has, from 0: 20 digits, as on SQS.
func SequenceNumber(n int) string { return fmt.Sprintf("1%019d", n) }

type connection struct {
	broker *Broker
	in     *bufio.Reader
	out    io.Writer
	timer  *time.Timer

	body, answer, scratch []byte
	batch                 []message
}

type message struct {
	id    []byte
	group int64
	event int64
	sum   [md5.Size]byte
}

var errTooLarge = errors.New("request is too large")

// operation is the API call of a request, as far as the broker tells calls apart.
type operation int

const (
	sqsOther operation = iota
	sqsSend
	sqsBatch
	snsOther
	snsSend
	snsBatch
)

func (o operation) sqs() bool { return o <= sqsBatch }

// targeted returns the operation that name, the value of the header X-Amz-Target, stands for: sqsOther for all but
// the two that send.
func targeted(name []byte) operation {
	switch {
	case bytes.HasSuffix(name, []byte(".SendMessageBatch")):
		return sqsBatch
	case bytes.HasSuffix(name, []byte(".SendMessage")):
		return sqsSend
	}
	return sqsOther
}

// acted returns the operation of SNS that the field Action names, which must be within the first 200 bytes of
// the form.
func acted(form []byte) operation {
	form = form[:min(len(form), 200)]
	switch {
	case bytes.Contains(form, []byte("Action=PublishBatch&")):
		return snsBatch
	case bytes.Contains(form, []byte("Action=Publish&")):
		return snsSend
	}
	return snsOther
}

// serve reads one HTTP request and answers it: GET /count with the numbers of messages and of malformed requests, a
// call that sends messages with their ids, and any other call with the attributes of a queue or a topic. An error,
// also at the end of the connection, means that the connection can serve no more.
func (c *connection) serve() error {
	line, err := c.in.ReadSlice('\n')
	if err != nil {
		return err
	}
	counting := bytes.HasPrefix(line, []byte("GET /count"))
	length, op, err := c.header()
	if err != nil {
		return err
	}
	if counting {
		return c.write("application/json", fmt.Appendf(nil, `{"messages":%d,"malformed":%d}`, c.broker.messages.Load(), c.broker.malformed.Load()))
	}
	if cap(c.body) < length {
		c.body = make([]byte, length)
	}
	c.body = c.body[:length]
	if _, err = io.ReadFull(c.in, c.body); err != nil {
		return err
	}
	c.batch = c.batch[:0]
	if !op.sqs() {
		op = acted(c.body)
	}
	switch op {
	case sqsBatch:
		return c.accept(c.readSQSBatch(), sqsType, c.answerSQSBatch)
	case sqsSend:
		return c.accept(c.readSQS(), sqsType, c.answerSQS)
	case snsBatch:
		return c.accept(c.readSNS(op), snsType, c.answerSNSBatch)
	case snsSend:
		return c.accept(c.readSNS(op), snsType, c.answerSNS)
	case sqsOther:
		return c.write(sqsType, []byte(`{"Attributes":{"QueueArn":"arn:aws:sqs:us-east-1:000000000000:bench.fifo"}}`))
	case snsOther:
		break
	}
	return c.write(snsType, []byte(`<GetTopicAttributesResponse xmlns="http://sns.amazonaws.com/doc/2010-03-31/"><GetTopicAttributesResult><Attributes/></GetTopicAttributesResult></GetTopicAttributesResponse>`))
}

const (
	sqsType = "application/x-amz-json-1.0"
	snsType = "text/xml"
)

// header reads the header of a request and returns the length of the body, which may be 4 MiB at most. The
// operation is snsOther unless the header names one of SQS, since SNS names its operation in the body.
func (c *connection) header() (length int, op operation, err error) {
	op = snsOther
	for {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return 0, op, err
		}
		if len(line) <= 2 {
			return length, op, nil
		}
		name, value, _ := bytes.Cut(line[:len(line)-2], []byte(": "))
		switch {
		case bytes.EqualFold(name, []byte("Content-Length")):
			if length, err = strconv.Atoi(string(value)); err != nil || length > 4<<20 {
				return 0, op, errTooLarge
			}
		case bytes.EqualFold(name, []byte("X-Amz-Target")):
			op = targeted(value)
		}
	}
}

// accept records the messages of c.batch, waits for the broker's latency and writes the answer. answer puts its
// body into c.answer; first is the number, from 0, of the first message among all that were accepted. A fault,
// an error of reading the request, is counted as malformed and returned at once, which ends the connection.
func (c *connection) accept(fault error, mediaType string, answer func(first int)) error {
	b := c.broker
	if fault != nil {
		b.malformed.Add(1)
		return fault
	}
	arrived := time.Now()
	b.mu.Lock()
	first := len(b.accepted)
	for i := range c.batch {
		m := &c.batch[i]
		b.accepted = append(b.accepted, Acceptance{
			Number: m.event, Group: m.group, Arrived: arrived.UnixNano(), Sum: binary.LittleEndian.Uint64(m.sum[:8]),
		})
	}
	b.mu.Unlock()
	b.messages.Add(int64(len(c.batch)))

	answer(first)
	if b.latency > 0 {
		c.timer.Reset(b.latency - time.Since(arrived))
		<-c.timer.C
	}
	err := c.write(mediaType, c.answer)
	answered := time.Now().UnixNano()
	b.mu.Lock()
	for i := range c.batch {
		b.accepted[first+i].Answered = answered
	}
	b.mu.Unlock()
	return err
}

func (c *connection) write(mediaType string, body []byte) error {
	out := c.scratch[:0]
	out = append(out, "HTTP/1.1 200 OK\r\nX-Amzn-Requestid: 0\r\nContent-Type: "...)
	out = append(append(out, mediaType...), "\r\nContent-Length: "...)
	out = strconv.AppendInt(out, int64(len(body)), 10)
	c.scratch = append(append(out, "\r\n\r\n"...), body...)
	_, err := c.out.Write(c.scratch)
	return err
}
