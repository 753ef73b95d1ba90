package dlq

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/serverless-outbox/serverless-outbox/internal/redrive"
)

// work is one receiver. It gathers messages and processes them until the run stops, or until the queue returns
// none while no receiver of the run works on any. It stops the run for all receivers when Config.Attempts of its
// receives in a row failed, and when the limit of the request is reached.
func (r *run) work(ctx context.Context) {
	failures := 0
	var attempt string
	for !r.stopped(ctx) {
		before, idle := r.activity()
		messages, err := r.gather(ctx, &attempt)
		if len(messages) > 0 {
			failures = 0
			r.process(ctx, messages)
			r.finished(len(messages))
			continue
		}
		if err != nil {
			if failures++; failures >= r.cfg.Attempts {
				r.stop(redrive.StopUnavailable, fmt.Errorf("receive: %w", err))
				return
			}
			r.pause(ctx, r.backoff(failures))
			continue
		}
		failures = 0
		if r.limitReached() {
			r.stop(redrive.StopLimit, nil)
			return
		}
		after, stillIdle := r.activity()
		if idle && stillIdle && before == after {
			return
		}
		// When another receiver deletes a message, the queue shows the next of its group.
		r.awaitChange(ctx, max(r.cfg.Wait, r.cfg.RetryMin))
	}
}

// activity returns how many messages all receivers have received so far, repeats included, and whether no
// receiver works on any.
func (r *run) activity() (received int, idle bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.received, r.working == 0
}

// limitReached reports whether the run has brought back, or matched, as many messages as the request allows. A quota
// of zero does not mean that: another receiver may return some of it.
func (r *run) limitReached() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.req.Limit > 0 && r.answer.Redriven+r.answer.Matched >= r.req.Limit
}

// gather receives messages until it has Config.Gather of them, fewer at a low rate, or until the queue returns
// none, the quota is used up, the run is stopped or a receive fails. It returns the messages that it has, also with
// an error, which is that of the last receive. *attempt is empty, or the name of an earlier receive that failed and
// may have hidden messages: the next receive repeats that name. gather sets *attempt to the name of a receive that
// failed, and to "" after one that succeeded.
func (r *run) gather(ctx context.Context, attempt *string) ([]*message, error) {
	size := r.cfg.Gather
	if r.req.Rate > 0 {
		// What is sent in five seconds, so that a run that is killed leaves little hidden.
		size = max(1, min(size, int(r.req.Rate*5)))
	}
	var messages []*message
	for len(messages) < size {
		n := r.takeQuota(min(maxEntries, size-len(messages)))
		if n == 0 || r.stopped(ctx) {
			r.returnQuota(n)
			return messages, nil
		}
		wait := r.cfg.Wait
		if len(messages) > 0 {
			wait = 0
		}
		if *attempt == "" {
			*attempt = uuid.NewString()
		}
		calling, cancel := context.WithTimeout(ctx, wait+r.cfg.CallTimeout)
		asked := time.Now()
		got, err := r.route.Queue.Receive(calling, Receive{
			Attempt: *attempt, Max: n, Hide: r.cfg.Visibility, Wait: wait,
		})
		cancel()
		if err == nil {
			*attempt = ""
		}
		r.returnQuota(n - len(got))
		r.arrived(len(got))
		for i := range got {
			messages = append(messages, &message{Received: got[i], id: identify(&got[i]), hiddenUntil: asked.Add(r.cfg.Visibility)})
		}
		if err != nil || len(got) == 0 {
			return messages, err
		}
	}
	return messages, nil
}

// takeQuota takes up to n messages from r.quota and returns how many it took, 0 when the quota is used up. For a
// request without a limit it returns n.
func (r *run) takeQuota(n int) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.req.Limit > 0 {
		n = min(n, r.quota)
		r.quota -= n
	}
	return n
}

// returnQuota adds n messages to r.quota again and wakes the receivers that wait. For a request without a limit
// it does nothing.
func (r *run) returnQuota(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.req.Limit > 0 && n > 0 {
		r.quota += n
		r.signal()
	}
}

// arrived adds n messages, just received, to the counts received and working.
func (r *run) arrived(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.working += n
	r.received += n
}

// finished takes n messages, with which a receiver is done, off the count working, and wakes the receivers that
// wait.
func (r *run) finished(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.working -= n
	r.signal()
}
