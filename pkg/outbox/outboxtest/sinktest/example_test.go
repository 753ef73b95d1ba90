package sinktest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest/sinktest"
)

// LineSink is a sink of one's own: it writes the body of each message as a line.
type LineSink struct {
	w io.Writer

	mu      sync.Mutex
	lines   int
	results map[string]outbox.Result // by deduplication id
	log     []sinktest.Accepted
}

// NewLineSink returns a sink that writes to w.
func NewLineSink(w io.Writer) *LineSink { return &LineSink{w: w, results: map[string]outbox.Result{}} }

// Limits implements outbox.Sink.
func (s *LineSink) Limits() outbox.Limits {
	return outbox.Limits{Entries: 100, MessageBytes: 64 << 10, BatchBytes: 1 << 20}
}

// Publish implements outbox.Sink. A batch above the limits is rejected whole, a
// message above them alone.
func (s *LineSink) Publish(ctx context.Context, msgs []outbox.Message) []outbox.Result {
	results := make([]outbox.Result, len(msgs))
	limits, size := s.Limits(), 0
	for i := range msgs {
		if msgs[i].Size <= limits.MessageBytes {
			size += msgs[i].Size
		}
	}
	for i, m := range msgs {
		switch {
		case ctx.Err() != nil:
			results[i] = outbox.Result{Class: outbox.Unknown, Code: "Canceled", Err: ctx.Err()}
		case len(msgs) > limits.Entries, size > limits.BatchBytes, m.Size > limits.MessageBytes:
			results[i] = outbox.Result{Class: outbox.Rejected, Code: "TooLong", Err: errors.New("above the limits")}
		default:
			results[i] = s.write(m)
		}
	}
	return results
}

// write writes a message, unless it was written before. Whether a write that
// failed left a part of the line is not known.
func (s *LineSink) write(m outbox.Message) outbox.Result {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r, known := s.results[m.DeduplicationID]; known {
		return r
	}
	if _, err := fmt.Fprintln(s.w, m.Body); err != nil {
		return outbox.Result{Class: outbox.Unknown, Code: "WriteFailed", Err: err}
	}
	s.lines++
	r := outbox.Result{Class: outbox.Accepted, MessageID: m.DeduplicationID, SequenceNumber: fmt.Sprintf("%020d", s.lines)}
	s.results[m.DeduplicationID] = r
	s.log = append(s.log, accepted(m, r))
	return r
}

func accepted(m outbox.Message, r outbox.Result) sinktest.Accepted {
	a := sinktest.Accepted{
		GroupID: m.GroupID, DeduplicationID: m.DeduplicationID, Body: m.Body, Attributes: map[string]string{},
		MessageID: r.MessageID, SequenceNumber: r.SequenceNumber,
	}
	for _, attribute := range m.Attributes {
		a.Attributes[attribute.Name] = attribute.Value
	}
	return a
}

// testLineSink is the test of the sink: go test runs it as TestLineSink.
func testLineSink(t *testing.T) {
	t.Helper()
	sinktest.Run(t, func(*testing.T) sinktest.Harness {
		sink := NewLineSink(&strings.Builder{})
		return sinktest.Harness{Sink: sink, Accepted: func(*testing.T) []sinktest.Accepted {
			sink.mu.Lock()
			defer sink.mu.Unlock()
			return sink.log
		}}
	})
}

// A sink of one's own, and the suite that holds it to the contract.
func Example() {
	sink := NewLineSink(os.Stdout)
	for _, r := range sink.Publish(context.Background(), []outbox.Message{
		{GroupID: "order:42", DeduplicationID: "e1", Body: `{"total": 12}`, Size: 13},
	}) {
		fmt.Println(r.Class)
	}
	// Output:
	// {"total": 12}
	// accepted
}
