package batch

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

// MaxEntries is the most entries that SendMessageBatch and PublishBatch take.
const MaxEntries = 10

// EntryID returns the entry id for the message at index i of a call.
func EntryID(i int) string { return strconv.Itoa(i) }

// Answer is what a broker said about one entry.
type Answer struct {
	// ID is the entry id that the broker answered.
	ID string
	// Accepted means that the entry was in the list of successes.
	Accepted       bool
	MessageID      string
	SequenceNumber string
	// Code, Message and SenderFault are those of a failed entry.
	Code        string
	Message     string
	SenderFault bool
}

// Call sends msgs as one request, with the entry ids of EntryID, and returns
// all answers of the response in any order.
type Call func(ctx context.Context, msgs []outbox.Message) ([]Answer, error)

// Sender turns a Call into the contract of [outbox.Sink]. Make it with New.
type Sender struct {
	call   Call
	limits outbox.Limits
	// works is set once the destination has accepted anything.
	works atomic.Bool
}

// New returns a Sender. It sends at most MaxEntries messages in a batch.
func New(call Call, limits outbox.Limits) *Sender {
	limits.Entries = min(limits.Entries, MaxEntries)
	return &Sender{call: call, limits: limits}
}

// Limits returns the limits of one batch.
func (s *Sender) Limits() outbox.Limits { return s.limits }

// Publish implements [outbox.Sink].
//
// A request that is refused as a whole is halved and sent again, down to single
// messages, so that a message that the broker refuses does not take its
// neighbors along. A message alone in a refused request is rejected only when
// the destination has accepted another one: as long as it never has, a wrong
// configuration is the likelier cause, and would make dead letters of
// everything.
//
// Behind a message that is known not to be accepted, later messages of its
// group in the same batch are withheld, as far as the order of requests allows.
func (s *Sender) Publish(ctx context.Context, msgs []outbox.Message) []outbox.Result {
	return s.PublishWith(ctx, msgs, s.call)
}

// PublishWith is Publish with another Call than the sender's, for one whose
// messages stand for others that have more to them.
func (s *Sender) PublishWith(ctx context.Context, msgs []outbox.Message, call Call) []outbox.Result {
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
	b := batch{sender: s, call: call, msgs: msgs, results: results}
	b.send(ctx, b.admit())
	b.judge()
	return results
}

// fits checks the batch without its oversize messages, which are rejected one
// by one.
func (s *Sender) fits(msgs []outbox.Message) error {
	if len(msgs) > s.limits.Entries {
		return fmt.Errorf("batch of %d messages: at most %d are allowed", len(msgs), s.limits.Entries)
	}
	size := 0
	for i := range msgs {
		if msgs[i].Size <= s.limits.MessageBytes {
			size += msgs[i].Size
		}
	}
	if size > s.limits.BatchBytes {
		return fmt.Errorf("batch of %d bytes: at most %d are allowed", size, s.limits.BatchBytes)
	}
	return nil
}

type batch struct {
	sender  *Sender
	call    Call
	msgs    []outbox.Message
	results []outbox.Result
	// suspects are messages that were refused alone in a request of their own.
	suspects []int
	// stopped has the result of a message of each group that was not accepted.
	stopped map[string]outbox.Result
}

// admit rejects what can never be accepted and returns the positions of the
// rest.
func (b *batch) admit() []int {
	positions := make([]int, 0, MaxEntries)
	for i := range b.msgs {
		if size, limit := b.msgs[i].Size, b.sender.limits.MessageBytes; size > limit {
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

// fail records a result other than an acceptance and stops the group.
func (b *batch) fail(i int, r outbox.Result) {
	b.results[i] = r
	if b.stopped == nil {
		b.stopped = make(map[string]outbox.Result)
	}
	b.stopped[b.msgs[i].GroupID] = r
}

// send sends the messages at the positions, in one request when it is taken.
func (b *batch) send(ctx context.Context, at []int) {
	if at = b.unstopped(at); len(at) == 0 {
		return
	}
	if err := context.Cause(ctx); err != nil {
		for _, i := range at {
			b.fail(i, outbox.Result{Class: outbox.Unknown, Code: CodeCanceled, Err: err})
		}
		return
	}
	answers, err := b.call(ctx, b.pick(at))
	if err == nil {
		b.match(at, answers)
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

// unstopped withholds the messages whose group is stopped.
func (b *batch) unstopped(at []int) []int {
	if len(b.stopped) == 0 {
		return at
	}
	free := make([]int, 0, len(at))
	for _, i := range at {
		ahead, stopped := b.stopped[b.msgs[i].GroupID]
		if !stopped {
			free = append(free, i)
			continue
		}
		// It was not sent, so it shares the fate of the whole destination but
		// never the blame of the one ahead.
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

func (b *batch) pick(at []int) []outbox.Message {
	if len(at) == len(b.msgs) {
		return b.msgs
	}
	picked := make([]outbox.Message, len(at))
	for k, i := range at {
		picked[k] = b.msgs[i]
	}
	return picked
}

// match gives each message its answer, by entry id. Only an id that was
// answered exactly once, among the successes and with a message id, is an
// acceptance.
func (b *batch) match(at []int, answers []Answer) {
	var found [MaxEntries]int // index into answers, plus one; negative when ambiguous
	for k := range answers {
		n, ok := entryIndex(answers[k].ID, len(at))
		if !ok {
			continue
		}
		if found[n] != 0 {
			found[n] = -1
			continue
		}
		found[n] = k + 1
	}
	for n, i := range at {
		switch k := found[n]; {
		case k == 0:
			b.fail(i, outbox.Result{Class: outbox.Unknown, Code: CodeNoAnswer, Err: errNoAnswer})
		case k < 0:
			b.fail(i, outbox.Result{Class: outbox.Unknown, Code: CodeContradiction, Err: errContradiction})
		default:
			b.take(i, &answers[k-1])
		}
	}
}

var (
	errNoAnswer      = errors.New("the answer does not mention the entry")
	errContradiction = errors.New("the answer mentions the entry more than once")
	errNoMessageID   = errors.New("the answer has no message id")
)

func (b *batch) take(i int, a *Answer) {
	switch {
	case a.Accepted && a.MessageID == "":
		b.fail(i, outbox.Result{Class: outbox.Unknown, Code: CodeContradiction, Err: errNoMessageID})
	case a.Accepted:
		b.results[i] = outbox.Result{
			Class:          outbox.Accepted,
			MessageID:      a.MessageID,
			SequenceNumber: a.SequenceNumber,
		}
		if !b.sender.works.Load() {
			b.sender.works.Store(true)
		}
	default:
		b.fail(i, outbox.Result{
			Class: ClassifyEntry(a.Code, a.SenderFault),
			Code:  a.Code,
			Err:   &EntryError{Code: a.Code, Message: a.Message, SenderFault: a.SenderFault},
		})
	}
}

// judge clears the suspects when the destination has never accepted anything,
// and the messages that were withheld behind them.
func (b *batch) judge() {
	if b.sender.works.Load() {
		return
	}
	for _, i := range b.suspects {
		if kindOf(b.results[i].Code) == kindBatch {
			continue // its size, and nothing else, is wrong
		}
		b.results[i].Class = outbox.Unavailable
		for later := i + 1; later < len(b.msgs); later++ {
			if b.results[later].Code == CodeWithheld && b.msgs[later].GroupID == b.msgs[i].GroupID {
				b.results[later].Class = outbox.Unavailable
			}
		}
	}
}

// entryIndex is the inverse of EntryID for ids below n.
func entryIndex(id string, n int) (int, bool) {
	i, err := strconv.Atoi(id)
	if err != nil || i < 0 || i >= n || EntryID(i) != id {
		return 0, false
	}
	return i, true
}

// EntryError is the failure of one entry as the broker reported it.
type EntryError struct {
	Code        string
	Message     string
	SenderFault bool
}

// Error returns the code and the broker's message.
func (e *EntryError) Error() string {
	if e.Message == "" {
		return e.Code
	}
	return e.Code + ": " + e.Message
}
