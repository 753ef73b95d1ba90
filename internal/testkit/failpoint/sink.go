package failpoint

import (
	"context"
	"net/http/httptrace"
	"sync"
	"time"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

// Sink returns inner with h told of every step.
func Sink(inner outbox.Sink, h Hook) outbox.Sink { return &sink{inner: inner, hook: h} }

type sink struct {
	inner outbox.Sink
	hook  Hook
}

func (s *sink) Limits() outbox.Limits { return s.inner.Limits() }

func (s *sink) Publish(ctx context.Context, msgs []outbox.Message) []outbox.Result {
	results := s.publish(ctx, msgs)
	var ids []string
	for i := range results {
		if results[i].Class == outbox.Unknown {
			ids = append(ids, msgs[i].DeduplicationID)
		}
	}
	if len(ids) > 0 {
		s.hook.Unknown(ids)
	}
	return results
}

func (s *sink) publish(ctx context.Context, msgs []outbox.Message) []outbox.Result {
	if err := s.hook.At(ctx, BeforeSend); err != nil {
		return all(len(msgs), err)
	}
	calling, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var sent request
	results := s.inner.Publish(httptrace.WithClientTrace(calling, &httptrace.ClientTrace{
		WroteRequest: func(w httptrace.WroteRequestInfo) {
			if w.Err == nil {
				sent.written(func() error { return s.hook.At(ctx, Sent) }, cancel)
			}
		},
	}), msgs)
	if err := sent.failure(); err != nil {
		return all(len(msgs), err)
	}
	if !anyAccepted(results) {
		return results
	}
	if err := s.hook.At(ctx, Answered); err != nil {
		return all(len(msgs), err)
	}
	soon(ctx, s.hook, Accepted)
	return results
}

// flushed is by when net/http has emptied the buffer that it wrote a request to.
// It says that a request was written just before it does that.
const flushed = time.Millisecond

// request tells the hook that it has left, once. The answer may come before
// that, or while the hook still keeps it back.
type request struct {
	mu   sync.Mutex
	tell func() error
	err  error
}

// written has the hook told in a moment. fail ends the call when the hook says
// so.
func (r *request) written(tell func() error, fail func(error)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tell = tell
	time.AfterFunc(flushed, func() {
		if err := r.failure(); err != nil {
			fail(err)
		}
	})
}

// failure returns what the hook said, told now if it was not yet.
func (r *request) failure() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.tell != nil {
		r.err = r.tell()
		r.tell = nil
	}
	return r.err
}

func anyAccepted(results []outbox.Result) bool {
	for i := range results {
		if results[i].Class == outbox.Accepted {
			return true
		}
	}
	return false
}

// all says of n messages that their outcome is not known.
func all(n int, err error) []outbox.Result {
	results := make([]outbox.Result, n)
	for i := range results {
		results[i] = outbox.Result{Class: outbox.Unknown, Err: err, Code: "Failpoint"}
	}
	return results
}
