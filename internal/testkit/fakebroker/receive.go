package fakebroker

import (
	"context"
	"time"
)

// Receive has the parameters of a call of ReceiveMessage.
type Receive struct {
	// Max is how many messages are wanted at most, from 1 to 10.
	Max int
	// Visibility, from 0 to 43200, and Wait, from 0 to 20, are in seconds. They replace the queue's own values when
	// not nil.
	Visibility *int
	Wait       *int
	// AttemptID makes a receive of a FIFO queue return the messages of an earlier one with the same AttemptID, for
	// five minutes and while all of them are still in flight from it. Empty is none.
	AttemptID string
}

// attempt is what a receive with an attempt id returned, and at which time, in nanoseconds since 1970.
type attempt struct {
	at       int64
	messages []*message
	receives []int // how often each of messages had been received then
}

// attemptWindow is how long a receive can be repeated by its attempt id.
const attemptWindow = 5 * time.Minute

// Receive hides and returns up to r.Max messages, as many as possible of one group. When there are none it waits for
// some, for r.Wait or until ctx ends, and then returns none, without an error. It moves messages that were received too
// often to the dead-letter queue. It returns an *Error for a bad r, or when the queue is deleted.
func (q *Queue) Receive(ctx context.Context, r Receive) ([]Received, error) {
	if r.Max < 1 || r.Max > MaxEntries {
		return nil, InvalidParameterValue("Value %d for parameter MaxNumberOfMessages is invalid. Reason: Must be between 1 and 10, if provided.", r.Max)
	}
	if r.Visibility != nil && (*r.Visibility < 0 || *r.Visibility > 43200) {
		return nil, badVisibility(*r.Visibility)
	}
	if r.Wait != nil && (*r.Wait < 0 || *r.Wait > 20) {
		return nil, InvalidParameterValue("Value %d for parameter WaitTimeSeconds is invalid. Reason: Must be >= 0 and <= 20, if provided.", *r.Wait)
	}
	if r.AttemptID != "" && !validIdentifier(r.AttemptID) {
		return nil, InvalidParameterValue("Value %s for parameter ReceiveRequestAttemptId is invalid. Reason: ReceiveRequestAttemptId can only include alphanumeric and punctuation characters. 1 to 128 in length.", r.AttemptID)
	}
	var deadline int64
	for {
		q.mu.Lock()
		if q.deleted {
			q.mu.Unlock()
			return nil, errQueueDoesNotExist()
		}
		now := q.b.now()
		visibility, wait := q.settings.visibility, q.settings.wait
		if r.Visibility != nil {
			visibility = time.Duration(*r.Visibility) * time.Second
		}
		if r.Wait != nil {
			wait = time.Duration(*r.Wait) * time.Second
		}
		if deadline == 0 {
			deadline = now + int64(wait)
		}
		messages, dead := q.take(now, r, visibility)
		out := make([]Received, len(messages))
		for i, m := range messages {
			out[i] = q.received(m)
		}
		over := len(out) > 0 || now >= deadline || ctx.Err() != nil
		switch {
		case len(dead) > 0:
			target := q.settings.redrive.target
			q.mu.Unlock()
			q.b.deadLetter(q.arn, target, dead)
		case over:
			q.mu.Unlock()
		default:
			q.wait(ctx, now, deadline)
		}
		if over {
			return out, nil
		}
	}
}

// badVisibility returns the error of a visibility timeout that is not allowed.
func badVisibility(seconds int) *Error {
	return InvalidParameterValue("Value %d for parameter VisibilityTimeout is invalid. Reason: Must be between 0 and 43200.", seconds)
}

// take hides up to r.Max messages for the time visibility and returns them as out. It removes those that were received
// too often, which it returns as dead, and those older than the queue's retention. At a FIFO queue it returns the
// messages of an earlier receive with r.AttemptID instead, where repeat still has them. q.mu is locked.
func (q *Queue) take(now int64, r Receive, visibility time.Duration) (out, dead []*message) {
	q.expire(now)
	if q.fifo && r.AttemptID != "" {
		if again := q.repeat(now, r.AttemptID, visibility); again != nil {
			return again, nil
		}
	}
	for len(out) < r.Max && len(q.ready) > 0 {
		g := q.ready[0]
		for m := g.head; m != nil && !m.hidden && len(out) < r.Max; {
			next := m.next
			switch {
			case now-m.sentAt >= int64(q.settings.retention):
				q.remove(m)
			case q.settings.redrive != nil && m.receives >= q.settings.redrive.max:
				q.remove(m)
				dead = append(dead, m)
			default:
				m.receives++
				if m.firstReceivedAt == 0 {
					m.firstReceivedAt = now
				}
				q.hide(m, now+int64(visibility))
				q.seen[m.id] = m
				out = append(out, m)
			}
			m = next
		}
		q.refresh(g)
	}
	if q.fifo && r.AttemptID != "" && len(out) > 0 {
		a := attempt{at: now, messages: out}
		for _, m := range out {
			a.receives = append(a.receives, m.receives)
		}
		q.attempts[r.AttemptID] = a
	}
	return out, dead
}

// repeat returns the messages of the earlier receive with the attempt id, hidden anew for the time visibility, if all
// of them are still in flight from that receive, and nil otherwise. q.mu is locked.
func (q *Queue) repeat(now int64, id string, visibility time.Duration) []*message {
	for k, a := range q.attempts {
		if now-a.at >= int64(attemptWindow) {
			delete(q.attempts, k)
		}
	}
	a, ok := q.attempts[id]
	if !ok {
		return nil
	}
	for i, m := range a.messages {
		if q.seen[m.id] != m || !m.hidden || m.receives != a.receives[i] {
			delete(q.attempts, id)
			return nil
		}
	}
	for _, m := range a.messages {
		q.hide(m, now+int64(visibility))
	}
	return a.messages
}

// Delete removes the message that the receipt handle names. Deleting it again is no error. It returns an *Error for a
// handle of another queue, and, at a FIFO queue, for one whose visibility timeout is over.
func (q *Queue) Delete(handle string) error {
	id, receives, err := q.parseHandle(handle)
	if err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.expire(q.b.now())
	m := q.seen[id]
	if m == nil {
		return nil
	}
	if q.fifo && (!m.hidden || m.receives != receives) {
		return InvalidParameterValue("Value %s for parameter ReceiptHandle is invalid. Reason: The receipt handle has expired.", handle)
	}
	g := m.group
	q.remove(m)
	q.refresh(g)
	return nil
}

// ChangeVisibility hides the message in flight that the receipt handle names for so many seconds from now, from 0 to
// 43200; 0 makes it visible. It returns an *Error for other seconds, for a handle of another queue, and when the
// message is not in flight any more.
func (q *Queue) ChangeVisibility(handle string, seconds int) error {
	if seconds < 0 || seconds > 43200 {
		return badVisibility(seconds)
	}
	id, receives, err := q.parseHandle(handle)
	if err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.b.now()
	q.expire(now)
	m := q.seen[id]
	switch {
	case m == nil, q.fifo && (!m.hidden || m.receives != receives):
		return InvalidParameterValue("Value %s for parameter ReceiptHandle is invalid. Reason: Message does not exist or is not available for visibility timeout change.", handle)
	case !m.hidden:
		return Modelled("MessageNotInflight", "The message referred to isn't in flight.")
	}
	q.hide(m, now+int64(seconds)*int64(time.Second))
	if q.wake != nil {
		// Receives that wait look again at when the next message appears.
		close(q.wake)
		q.wake = nil
	}
	return nil
}

// deadLetter puts copies of the messages dead, which were taken off the queue source, into the dead-letter queue
// target; both are ARNs. If target is gone the messages are lost, as they would be in SQS.
func (b *Broker) deadLetter(source, target string, dead []*message) {
	q, err := b.Queue(target)
	if err != nil {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	now := b.now()
	for _, m := range dead {
		c := &message{
			id: m.id, md5: m.md5, body: m.body, attributes: m.attributes, groupID: m.groupID, traceHeader: m.traceHeader,
			source: source, sentAt: m.sentAt, firstReceivedAt: m.firstReceivedAt, receives: m.receives,
		}
		if q.fifo {
			// "The original message's deduplication ID will be replaced with the
			// original message's ID": SQS developer guide, Configuring a
			// dead-letter queue redrive.
			c.dedupID = m.id.String()
		}
		q.accept(now, c, 0, SourceDeadLetter)
	}
}
