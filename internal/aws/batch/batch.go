package batch

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

// Call sends msgs as one request, whose entry i has the id EntryID(i), and adds each entry of the answer to
// answers. An error is about the request as a whole: then what was added to answers does not count.
type Call[M any] func(ctx context.Context, msgs []M, answers *Answers) error

// Entry is what a [Sender] needs to know of a message.
type Entry struct {
	// GroupID is the group id: the order of messages with the same one is kept.
	GroupID string
	// Size is the number of bytes that count towards the limits.
	Size int
}

// Sender sends batches of messages of type M, and keeps the promises of [outbox.Sink]. Make it with New. It is
// safe for concurrent use.
type Sender[M any] struct {
	call   Call[M]
	entry  func(*M) Entry
	limits outbox.Limits
	// works is set once the destination has accepted a message of this Sender.
	works atomic.Bool
}

// New returns a Sender that makes its requests with call. entry returns the group and the size of a message.
// A limits.Entries above MaxEntries counts as MaxEntries.
func New[M any](call Call[M], entry func(*M) Entry, limits outbox.Limits) *Sender[M] {
	limits.Entries = min(limits.Entries, MaxEntries)
	return &Sender[M]{call: call, entry: entry, limits: limits}
}

// Limits returns the limits of one batch, with Entries at most MaxEntries.
func (s *Sender[M]) Limits() outbox.Limits { return s.limits }

// Publish sends msgs as one batch, within ctx, and returns a result for each, at the same index. A batch above
// the limits is not sent, and each of its messages is Rejected.
//
// A request that is refused as a whole because of its messages is halved and sent again, down to single
// messages, so that a message that the broker refuses does not take its neighbors along. A message alone in a
// refused request is Unavailable as long as the destination has accepted no message of this Sender: a wrong
// configuration is the likelier cause then, and Rejected would make a dead letter of every event. Only a refusal
// for the composition of the request, as of BatchRequestTooLong, is always Rejected.
//
// After a message that was not accepted, the messages of its group that would go in a later request are not sent:
// their code is CodeWithheld.
func (s *Sender[M]) Publish(ctx context.Context, msgs []M) []outbox.Result {
	results := make([]outbox.Result, len(msgs))
	if len(msgs) == 0 {
		return results
	}
	if err := s.fits(msgs); err != nil {
		for i := range results {
			results[i] = outbox.Result{Class: outbox.Rejected, Code: CodeBatchTooLarge, Err: err}
		}
		return results
	}
	b := batch[M]{sender: s, msgs: msgs, results: results, answers: Answers{results: results}}
	b.send(ctx, b.admit())
	b.judge()
	return results
}

// fits returns an error when a batch is above the limits in number or bytes. Messages that are too large by
// themselves do not count: admit rejects those one by one.
func (s *Sender[M]) fits(msgs []M) error {
	if len(msgs) > s.limits.Entries {
		return fmt.Errorf("batch of %d messages: at most %d are allowed", len(msgs), s.limits.Entries)
	}
	total := 0
	for i := range msgs {
		if size := s.entry(&msgs[i]).Size; size <= s.limits.MessageBytes {
			total += size
		}
	}
	if total > s.limits.BatchBytes {
		return fmt.Errorf("batch of %d bytes: at most %d are allowed", total, s.limits.BatchBytes)
	}
	return nil
}

// batch is the work of one Publish.
type batch[M any] struct {
	sender  *Sender[M]
	msgs    []M
	results []outbox.Result
	answers Answers
	// suspects are the indexes of the messages that were refused in a request of their own. They may not be to
	// blame: judge decides.
	suspects []int
	// stopped has, by group id, the result of the last message of the group that was not accepted.
	stopped map[string]outbox.Result
}

// admit rejects the messages that are above the limit of one message, which stops their groups. It returns the
// indexes of the other messages.
func (b *batch[M]) admit() []int {
	positions := make([]int, 0, MaxEntries)
	for i := range b.msgs {
		if size, limit := b.sender.entry(&b.msgs[i]).Size, b.sender.limits.MessageBytes; size > limit {
			b.fail(i, outbox.Result{
				Class: outbox.Rejected,
				Code:  CodeMessageTooLong,
				Err:   fmt.Errorf("message of %d bytes: at most %d are allowed", size, limit),
			})
			continue
		}
		positions = append(positions, i)
	}
	return positions
}

// fail makes r, which is no acceptance, the result of message i, and stops the group of i.
func (b *batch[M]) fail(i int, r outbox.Result) {
	b.results[i] = r
	if b.stopped == nil {
		b.stopped = make(map[string]outbox.Result)
	}
	b.stopped[b.group(i)] = r
}

// group returns the group id of message i.
func (b *batch[M]) group(i int) string { return b.sender.entry(&b.msgs[i]).GroupID }

// send sends the messages whose indexes are in at, in one request or, if the broker refuses that because of a
// message, in halves, one after the other. It sets their results. It sends no message of a stopped group, and none
// once ctx has ended.
func (b *batch[M]) send(ctx context.Context, at []int) {
	if at = b.unstopped(at); len(at) == 0 {
		return
	}
	if err := context.Cause(ctx); err != nil {
		for _, i := range at {
			b.fail(i, outbox.Result{Class: outbox.Unknown, Code: CodeCanceled, Err: err})
		}
		return
	}
	b.answers.begin(at)
	calling, reached := watch(ctx)
	err := reached.explain(b.sender.call(calling, b.pick(at), &b.answers))
	if err == nil {
		b.conclude(at)
		return
	}
	fault := Classify(err)
	if fault.Divisible && len(at) > 1 {
		half := len(at) / 2
		b.send(ctx, at[:half])
		b.send(ctx, at[half:])
		return
	}
	for _, i := range at {
		b.fail(i, outbox.Result{Class: fault.Class, Code: fault.Code, Err: err})
	}
	if fault.Divisible {
		b.suspects = append(b.suspects, at[0])
	}
}

// conclude goes through the results of the messages whose indexes are in at, after the answer to their request. It
// stops the groups of those that were not accepted, and sets works of the Sender when one was accepted.
func (b *batch[M]) conclude(at []int) {
	for _, i := range at {
		if b.results[i].Class != outbox.Accepted {
			b.fail(i, b.results[i])
		} else if !b.sender.works.Load() {
			b.sender.works.Store(true)
		}
	}
}

// unstopped returns those of the indexes in at whose messages belong to no stopped group. It makes CodeWithheld the
// code of the others.
func (b *batch[M]) unstopped(at []int) []int {
	if len(b.stopped) == 0 {
		return at
	}
	free := make([]int, 0, len(at))
	for _, i := range at {
		ahead, stopped := b.stopped[b.group(i)]
		if !stopped {
			free = append(free, i)
			continue
		}
		// A withheld message was not sent: it has the class of the message ahead
		// where that is about the whole destination, and is not rejected with it.
		class := outbox.Transient
		if ahead.Class == outbox.Throttled || ahead.Class == outbox.Unavailable {
			class = ahead.Class
		}
		b.results[i] = outbox.Result{
			Class: class,
			Code:  CodeWithheld,
			Err:   fmt.Errorf("not sent behind an event of its group that was not accepted: %w", ahead.Err),
		}
	}
	return free
}

// pick returns the messages whose indexes are in at.
func (b *batch[M]) pick(at []int) []M {
	if len(at) == len(b.msgs) {
		return b.msgs
	}
	picked := make([]M, len(at))
	for k, i := range at {
		picked[k] = b.msgs[i]
	}
	return picked
}

// judge makes the suspects, and the messages withheld behind them, Unavailable when the destination has never
// accepted a message of this Sender. A suspect that was refused for the composition of its request keeps its class.
func (b *batch[M]) judge() {
	if b.sender.works.Load() {
		return
	}
	for _, i := range b.suspects {
		if kindOf(b.results[i].Code) == kindBatch {
			continue
		}
		b.results[i].Class = outbox.Unavailable
		for later := i + 1; later < len(b.msgs); later++ {
			if b.results[later].Code == CodeWithheld && b.group(later) == b.group(i) {
				b.results[later].Class = outbox.Unavailable
			}
		}
	}
}
