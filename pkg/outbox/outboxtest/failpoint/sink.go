package failpoint

import (
	"context"
	"net/http/httptrace"
	"sync"

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
				if err := sent.left(ctx, s.hook); err != nil {
					cancel(err)
				}
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

// request is told when it has left. The answer may come while the hook still
// keeps it back.
type request struct {
	mu  sync.Mutex
	err error
}

func (r *request) left(ctx context.Context, h Hook) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := h.At(ctx, Sent); err != nil {
		r.err = err
	}
	return r.err
}

func (r *request) failure() error {
	r.mu.Lock()
	defer r.mu.Unlock()
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
