package dlq

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/serverless-outbox/serverless-outbox/internal/redrive"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

// process decides about the messages that a receiver has gathered, sends those that are wanted, one of each group at a
// time, and deletes what was accepted. The others are kept hidden.
func (r *run) process(ctx context.Context, messages []*message) {
	lines := r.admit(ctx, messages)
	for len(lines) > 0 && !r.stopped(ctx) {
		if wait := untilReady(lines); wait > 0 {
			r.pause(ctx, min(wait, r.cfg.Visibility/4))
			r.extend(ctx, lines)
			continue
		}
		batch := r.nextBatch(lines)
		if !r.waitTurn(ctx, lines, len(batch)) {
			break
		}
		r.extend(ctx, lines)
		batch = slices.DeleteFunc(batch, empty)
		if len(batch) > 0 {
			r.send(ctx, batch)
		}
		lines = slices.DeleteFunc(lines, empty)
	}
	for _, l := range lines {
		r.keep(ctx, l, 0)
	}
}

// untilReady returns how long it takes until some line has a first message that may be sent, zero or less when
// one has now. There must be at least one line.
func untilReady(lines []*line) time.Duration {
	first := lines[0].notBefore
	for _, l := range lines {
		if l.notBefore.Before(first) {
			first = l.notBefore
		}
	}
	return time.Until(first)
}

// nextBatch returns the lines whose first messages make the next batch, within the limits of the target and the rate.
// At least one line must be ready, and at least one is returned.
func (r *run) nextBatch(lines []*line) []*line {
	limits := r.route.Target.Limits()
	entries := min(limits.Entries, maxEntries)
	if r.req.Rate > 0 {
		entries = max(1, min(entries, int(r.req.Rate)))
	}
	var batch []*line
	size := 0
	now := time.Now()
	for _, l := range lines {
		if l.notBefore.After(now) {
			continue
		}
		n := l.messages[0].out.Size()
		if len(batch) > 0 && size+n > limits.BatchBytes {
			continue
		}
		batch = append(batch, l)
		if size += n; len(batch) == entries {
			break
		}
	}
	return batch
}

// waitTurn waits until the rate allows n more messages, and returns false when the run stopped first. While it waits it
// calls extend, which keeps the messages of the lines hidden and may take all messages off a line.
func (r *run) waitTurn(ctx context.Context, lines []*line, n int) bool {
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
		r.extend(ctx, lines)
	}
}

// extend hides those messages of the lines for Config.Visibility anew that have less than half of it left. Where the
// first message of a line then still has no more than twice Config.CallTimeout, it could appear in the queue and be
// received elsewhere while it is sent: it fails with the code ReceiptExpired, and extend stops the group, keeps the
// messages of the line hidden and takes them off it.
func (r *run) extend(ctx context.Context, lines []*line) {
	var soon []*message
	for _, l := range lines {
		for _, m := range l.messages {
			if m.timeLeft() < r.cfg.Visibility/2 {
				soon = append(soon, m)
			}
		}
	}
	if len(soon) == 0 {
		return
	}
	r.hide(ctx, soon, r.cfg.Visibility)
	for _, l := range lines {
		if len(l.messages) == 0 || l.messages[0].timeLeft() > 2*r.cfg.CallTimeout {
			continue // time enough to send and to delete
		}
		r.mu.Lock()
		r.fail(l.group, l.messages[0], codeExpired, "the message could not be kept hidden long enough: it appears in the queue again")
		r.mu.Unlock()
		r.keep(ctx, l, 0)
	}
}

// send sends the first message of each line as one batch and deletes what was accepted. A message that was not accepted
// is sent again later, or fails.
func (r *run) send(ctx context.Context, batch []*line) {
	msgs := make([]Outgoing, len(batch))
	for i, l := range batch {
		msgs[i] = l.messages[0].out
	}
	calling, cancel := context.WithTimeout(ctx, r.cfg.CallTimeout)
	results := r.route.Target.Send(calling, msgs)
	cancel()
	r.stopIfUnavailable(results)
	var accepted []*line
	for i, l := range batch {
		result := outbox.Result{Code: "NoResult"}
		if i < len(results) {
			result = results[i]
		}
		if result.Class == outbox.Accepted {
			accepted = append(accepted, l)
			continue
		}
		r.retryOrFail(ctx, l, &result)
	}
	r.deleteAccepted(ctx, accepted)
}

// retryOrFail decides about the first message of the line, which was not accepted: it sets when the message may
// be sent again, or, when the message was rejected or has failed Config.Attempts times, counts a failure, stops the
// group and empties the line. Sends for which the target was throttled or unavailable are repeated until the run ends.
func (r *run) retryOrFail(ctx context.Context, l *line, result *outbox.Result) {
	m := l.messages[0]
	m.attempts++
	switch result.Class {
	case outbox.Throttled, outbox.Unavailable, outbox.Accepted:
		// The message is not to blame.
	case outbox.Rejected:
		m.faults = r.cfg.Attempts
	case outbox.Unknown, outbox.Transient:
		if ctx.Err() == nil {
			m.faults++
		}
	}
	if m.faults < r.cfg.Attempts {
		// The same message under the same id, before any other of its group.
		l.notBefore = time.Now().Add(r.backoff(m.attempts))
		return
	}
	r.mu.Lock()
	r.fail(l.group, m, result.Code, fmt.Sprint(result.Err))
	r.mu.Unlock()
	r.keep(ctx, l, 0)
}

// stopIfUnavailable counts the results of one batch, and stops the run when each of the last Config.Attempts
// batches, of all receivers, found the target unavailable for all its messages.
func (r *run) stopIfUnavailable(results []outbox.Result) {
	var err error
	for i := range results {
		if results[i].Class != outbox.Unavailable {
			r.mu.Lock()
			r.unavailable = 0
			r.mu.Unlock()
			return
		}
		err = results[i].Err
	}
	r.mu.Lock()
	r.unavailable++
	over := r.unavailable >= r.cfg.Attempts
	r.mu.Unlock()
	if over {
		r.stop(redrive.StopUnavailable, fmt.Errorf("send: %w", err))
	}
}

// deleteAccepted deletes the first message of each line, which the target has accepted, in Config.Attempts calls
// at most and also after ctx ended. A message that cannot be deleted is counted as redriven and as a duplicate,
// and its group stops: the next run sends it again under the same id.
func (r *run) deleteAccepted(ctx context.Context, lines []*line) {
	// Not canceled with ctx: a message that is accepted and not deleted is sent twice.
	detached := context.WithoutCancel(ctx)
	for try := 1; len(lines) > 0 && try <= r.cfg.Attempts; try++ {
		if try > 1 {
			r.pause(ctx, r.backoff(try-1))
		}
		var sound []*line // those whose receipt outlasts the call
		var receipts []string
		for _, l := range lines {
			if l.messages[0].timeLeft() > r.cfg.CallTimeout {
				sound = append(sound, l)
				receipts = append(receipts, l.messages[0].Receipt)
			}
		}
		if len(sound) == 0 {
			break
		}
		calling, cancel := context.WithTimeout(detached, r.cfg.CallTimeout)
		errs := r.route.Queue.Delete(calling, receipts)
		cancel()
		for i, l := range sound {
			if i < len(errs) && errs[i] == nil {
				r.redriven(l)
				lines = slices.DeleteFunc(lines, func(other *line) bool { return l == other })
			}
		}
	}
	for _, l := range lines {
		r.mu.Lock()
		r.answer.Redriven++
		r.answer.Duplicates++
		r.stopGroup(l.group)
		r.mu.Unlock()
		r.keep(ctx, l, 1)
	}
}

// redriven removes the first message, which was sent and deleted, from the line, and counts it in the answer.
func (r *run) redriven(l *line) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer.Redriven++
	if l.messages[0].overtakes {
		r.answer.OutOfOrder++
	}
	l.messages = l.messages[1:]
}
