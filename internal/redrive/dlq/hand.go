package dlq

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/serverless-outbox/serverless-outbox/internal/redrive"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

// process sends the messages in hand, one of each group at a time, and deletes
// those that were accepted. What is not sent is held back.
func (r *run) process(ctx context.Context, hand []*letter) {
	lanes := r.admit(ctx, hand)
	for len(lanes) > 0 && !r.stopped(ctx) {
		if wait := untilReady(lanes); wait > 0 {
			r.pause(ctx, min(wait, r.cfg.Visibility/4))
			r.renew(ctx, lanes)
			continue
		}
		batch := r.pack(lanes)
		if !r.turn(ctx, lanes, len(batch)) {
			break
		}
		r.renew(ctx, lanes)
		batch = slices.DeleteFunc(batch, empty)
		if len(batch) > 0 {
			r.send(ctx, batch)
		}
		lanes = slices.DeleteFunc(lanes, empty)
	}
	for _, a := range lanes {
		r.hold(ctx, a, 0)
	}
}

func empty(a *lane) bool { return len(a.letters) == 0 }

// untilReady returns how long it takes until a lane may send.
func untilReady(lanes []*lane) time.Duration {
	first := lanes[0].notBefore
	for _, a := range lanes {
		if a.notBefore.Before(first) {
			first = a.notBefore
		}
	}
	return time.Until(first)
}

// pack picks the lanes whose first message goes into the next batch: at least
// one of those that may send.
func (r *run) pack(lanes []*lane) []*lane {
	limits := r.route.Target.Limits()
	entries := min(limits.Entries, maxEntries)
	if r.req.Rate > 0 {
		entries = max(1, min(entries, int(r.req.Rate)))
	}
	var batch []*lane
	size := 0
	now := time.Now()
	for _, a := range lanes {
		if a.notBefore.After(now) {
			continue
		}
		n := a.letters[0].msg.Size()
		if len(batch) > 0 && size+n > limits.BatchBytes {
			continue
		}
		batch = append(batch, a)
		if size += n; len(batch) == entries {
			break
		}
	}
	return batch
}

// turn waits until n messages may be sent, and keeps all hidden meanwhile. It
// is false when the run is over before.
func (r *run) turn(ctx context.Context, lanes []*lane, n int) bool {
	at := r.pace.reserve(n)
	for {
		if r.stopped(ctx) {
			return false
		}
		wait := time.Until(at)
		if wait <= 0 {
			return true
		}
		r.pause(ctx, min(wait, r.cfg.Visibility/4))
		r.renew(ctx, lanes)
	}
}

// renew keeps messages hidden that would appear soon, and gives up the lanes
// for which that failed: their receipts may be void while others have them.
func (r *run) renew(ctx context.Context, lanes []*lane) {
	var soon []*letter
	for _, a := range lanes {
		for _, l := range a.letters {
			if l.left() < r.cfg.Visibility/2 {
				soon = append(soon, l)
			}
		}
	}
	if len(soon) == 0 {
		return
	}
	r.hide(ctx, soon, r.cfg.Visibility)
	for _, a := range lanes {
		if len(a.letters) == 0 || a.letters[0].left() > 2*r.cfg.CallTimeout {
			continue // time enough to send and to delete
		}
		r.mu.Lock()
		r.failed(a.group, a.letters[0], codeExpired, "the message could not be kept hidden long enough: it appears in the queue again")
		r.mu.Unlock()
		r.hold(ctx, a, 0)
	}
}

// send sends the first message of each lane and deletes what was accepted.
func (r *run) send(ctx context.Context, batch []*lane) {
	msgs := make([]Message, len(batch))
	for i, a := range batch {
		msgs[i] = a.letters[0].msg
	}
	calling, cancel := context.WithTimeout(ctx, r.cfg.CallTimeout)
	results := r.route.Target.Send(calling, msgs)
	cancel()
	r.judge(results)
	var accepted []*lane
	for i, a := range batch {
		result := outbox.Result{Code: "NoResult"}
		if i < len(results) {
			result = results[i]
		}
		if result.Class == outbox.Accepted {
			accepted = append(accepted, a)
			continue
		}
		r.refused(ctx, a, &result)
	}
	r.remove(ctx, accepted)
}

// refused decides what becomes of a message that was not accepted.
func (r *run) refused(ctx context.Context, a *lane, result *outbox.Result) {
	l := a.letters[0]
	l.tries++
	switch result.Class {
	case outbox.Throttled, outbox.Unavailable, outbox.Accepted:
		// Not the message's fault.
	case outbox.Rejected:
		l.charged = r.cfg.Attempts
	case outbox.Unknown, outbox.Transient:
		if ctx.Err() == nil {
			l.charged++
		}
	}
	if l.charged < r.cfg.Attempts {
		// The same message under the same id, before anything newer.
		a.notBefore = time.Now().Add(r.backoff(l.tries))
		return
	}
	r.mu.Lock()
	r.failed(a.group, l, result.Code, fmt.Sprint(result.Err))
	r.mu.Unlock()
	r.hold(ctx, a, 0)
}

// judge ends the run when the destination refuses everything.
func (r *run) judge(results []outbox.Result) {
	var err error
	for i := range results {
		if results[i].Class != outbox.Unavailable {
			r.mu.Lock()
			r.refusals = 0
			r.mu.Unlock()
			return
		}
		err = results[i].Err
	}
	r.mu.Lock()
	r.refusals++
	over := r.refusals >= r.cfg.Attempts
	r.mu.Unlock()
	if over {
		r.stop(redrive.StopUnavailable, fmt.Errorf("send: %w", err))
	}
}

// remove deletes the first message of each lane, which the destination has
// accepted. A lane whose message cannot be deleted stops: it is sent again by
// the next run, under the same id.
func (r *run) remove(ctx context.Context, lanes []*lane) {
	// Beyond a cancellation: what is accepted and not deleted is sent twice.
	detached := context.WithoutCancel(ctx)
	for try := 1; len(lanes) > 0 && try <= r.cfg.Attempts; try++ {
		if try > 1 {
			r.pause(ctx, r.backoff(try-1))
		}
		var sound []*lane
		var receipts []string
		for _, a := range lanes {
			// The call ends before the receipt does.
			if a.letters[0].left() > r.cfg.CallTimeout {
				sound = append(sound, a)
				receipts = append(receipts, a.letters[0].Receipt)
			}
		}
		if len(sound) == 0 {
			break
		}
		calling, cancel := context.WithTimeout(detached, r.cfg.CallTimeout)
		errs := r.route.Queue.Delete(calling, receipts)
		cancel()
		for i, a := range sound {
			if i < len(errs) && errs[i] == nil {
				r.done(a)
				lanes = slices.DeleteFunc(lanes, func(b *lane) bool { return a == b })
			}
		}
	}
	for _, a := range lanes {
		r.mu.Lock()
		r.answer.Redriven++
		r.answer.Duplicates++
		r.halt(a.group)
		r.mu.Unlock()
		r.hold(ctx, a, 1)
	}
}

// done takes the first message of the lane off.
func (r *run) done(a *lane) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer.Redriven++
	if a.letters[0].jumps {
		r.answer.OutOfOrder++
	}
	a.letters = a.letters[1:]
}
