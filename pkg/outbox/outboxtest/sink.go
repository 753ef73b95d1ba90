package outboxtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

// Sink is an [outbox.Sink] that remembers what it was sent, for [Drain]. It has the limits of an SQS queue and
// accepts every message that keeps to them. Like a FIFO queue it takes a deduplication id once, but remembers it for
// ever. The zero value is ready to use; it is safe for concurrent use.
type Sink struct {
	mu       sync.Mutex
	messages []outbox.Message
	results  map[string]outbox.Result
}

var _ outbox.Sink = (*Sink)(nil)

// Messages returns the messages that were accepted so far, in the order of acceptance, each deduplication id once.
func (s *Sink) Messages() []outbox.Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.messages)
}

// Limits implements [outbox.Sink]: ten messages, of [outbox.MaxMessageBytes] alone and all together.
func (s *Sink) Limits() outbox.Limits {
	return outbox.Limits{Entries: 10, MessageBytes: outbox.MaxMessageBytes, BatchBytes: outbox.MaxMessageBytes}
}

// Publish implements [outbox.Sink]. When ctx has ended, every message is [outbox.Unknown]; when the batch is
// above the limits, every message is [outbox.Rejected]; a message above the limit is rejected alone.
func (s *Sink) Publish(ctx context.Context, msgs []outbox.Message) []outbox.Result {
	results := make([]outbox.Result, len(msgs))
	batch, limits := 0, s.Limits()
	for i := range msgs {
		if size := msgs[i].Size; size <= limits.MessageBytes {
			batch += size
		}
	}
	tooMany := len(msgs) > limits.Entries || batch > limits.BatchBytes
	for i := range msgs {
		switch {
		case ctx.Err() != nil:
			results[i] = outbox.Result{Class: outbox.Unknown, Err: ctx.Err(), Code: "RequestCanceled"}
		case tooMany:
			results[i] = outbox.Result{Class: outbox.Rejected, Err: errors.New("the batch is above the limits"), Code: "BatchTooLong"}
		case msgs[i].Size > limits.MessageBytes:
			results[i] = outbox.Result{Class: outbox.Rejected, Err: errors.New("the message is above the limit"), Code: "MessageTooLong"}
		default:
			results[i] = s.accept(msgs[i])
		}
	}
	return results
}

func (s *Sink) accept(m outbox.Message) outbox.Result {
	s.mu.Lock()
	defer s.mu.Unlock()
	if before, known := s.results[m.DeduplicationID]; known {
		return before
	}
	s.messages = append(s.messages, m)
	n := len(s.messages)
	r := outbox.Result{Class: outbox.Accepted, MessageID: fmt.Sprint("message-", n), SequenceNumber: fmt.Sprintf("%020d", n)}
	if s.results == nil {
		s.results = map[string]outbox.Result{}
	}
	s.results[m.DeduplicationID] = r
	return r
}
