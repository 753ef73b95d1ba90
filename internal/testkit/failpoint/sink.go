package failpoint

import (
	"context"
	"net/http/httptrace"
	"slices"
	"sync"
	"time"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

// Sink returns inner with h called at each step of a Publish. An error of h makes every message Unknown, except at the
// step Accepted, where it is ignored. h.Unknown gets all messages that are Unknown, because of h or not.
func Sink(inner outbox.Sink, h Hook) outbox.Sink { return &sink{Sink: inner, hook: h} }

// sink is what Sink returns.
type sink struct {
	outbox.Sink
	hook Hook
}

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

// publish is Publish without the call of Unknown.
func (s *sink) publish(ctx context.Context, msgs []outbox.Message) []outbox.Result {
	if err := s.hook.At(ctx, BeforeSend); err != nil {
		return all(len(msgs), err)
	}
	calling, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var sent request
	results := s.Sink.Publish(httptrace.WithClientTrace(calling, &httptrace.ClientTrace{
		WroteRequest: func(w httptrace.WroteRequestInfo) {
			if w.Err == nil {
				sent.written(func() error { return s.hook.At(ctx, Sent) }, cancel)
			}
		},
	}), msgs)
	if err := sent.failure(); err != nil {
		return all(len(msgs), err)
	}
	if !slices.ContainsFunc(results, func(r outbox.Result) bool { return r.Class == outbox.Accepted }) {
		return results
	}
	if err := s.hook.At(ctx, Answered); err != nil {
		return all(len(msgs), err)
	}
	soon(ctx, s.hook, Accepted)
	return results
}

// flushed is how long net/http has to send a request from its buffer: it calls WroteRequest just before it sends.
const flushed = time.Millisecond

// request calls the hook at the step Sent, once for each time that Publish has written a request (a client may write it
// again). The destination may answer before that call or while it lasts.
type request struct {
	mu sync.Mutex
	// tell calls the hook. It is nil before the request was written and once tell was called.
	tell func() error
	// err is what tell returned, nil before.
	err error
}

// written notes that the request was written. After the time flushed it calls tell, unless failure has called it until
// then, and fail with the error of tell, if any.
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

// failure returns the error of tell, which it calls if that has not happened yet.
func (r *request) failure() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.tell != nil {
		r.err = r.tell()
		r.tell = nil
	}
	return r.err
}

// all returns n results of the class Unknown with err.
func all(n int, err error) []outbox.Result {
	return slices.Repeat([]outbox.Result{{Class: outbox.Unknown, Err: err, Code: "Failpoint"}}, n)
}
