package batch

import (
	"errors"
	"strconv"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

// MaxEntries is the most entries that SendMessageBatch and PublishBatch take.
const MaxEntries = 10

// EntryID returns the entry id of the message at index i of a request.
func EntryID(i int) string { return strconv.Itoa(i) }

// EntryIndex returns the index i with EntryID(i) = id in a request of n entries. The second result is false
// when there is none.
func EntryIndex(id string, n int) (int, bool) {
	i, err := strconv.Atoi(id)
	if err != nil || i < 0 || i >= n || EntryID(i) != id {
		return 0, false
	}
	return i, true
}

// Answers turns the answer to one request into the results of its messages. It takes the entries of the answer
// one by one, in any order. Only an id that the answer has exactly once, among the successes and with a message
// id, is an acceptance. Ids that the request did not have are ignored.
type Answers struct {
	// at[k] is the index in results of the message that was entry k of the request.
	at []int
	// results has the results of the whole batch, of which a request may send a part.
	results []outbox.Result
	// answered[k] is true once the answer had entry k of the request.
	answered [MaxEntries]bool
}

// begin starts the answer to a request whose entry k is the message at index at[k] of the results. The result
// of a message whose entry does not come is Unknown.
func (a *Answers) begin(at []int) {
	a.at, a.answered = at, [MaxEntries]bool{}
	for _, i := range at {
		a.results[i] = outbox.Result{Class: outbox.Unknown, Code: CodeNoAnswer, Err: errNoAnswer}
	}
}

// Accept adds an entry of the successes. The result of its message is Accepted, or Unknown when messageID is empty or
// the entry came before.
func (a *Answers) Accept(id, messageID, sequenceNumber string) {
	if messageID == "" {
		a.add(id, outbox.Result{Class: outbox.Unknown, Code: CodeContradiction, Err: errNoMessageID})
		return
	}
	a.add(id, outbox.Result{Class: outbox.Accepted, MessageID: messageID, SequenceNumber: sequenceNumber})
}

// Refuse adds an entry of the failures. The result of its message has the class of [ClassifyEntry], or Unknown when
// the entry came before. senderFault is the broker's statement that the sender is to blame.
func (a *Answers) Refuse(id, code, message string, senderFault bool) {
	a.add(id, outbox.Result{
		Class: ClassifyEntry(code, senderFault),
		Code:  code,
		Err:   &EntryError{Code: code, Message: message, SenderFault: senderFault},
	})
}

// add makes r the result of the message whose entry is id, or Unknown when that entry came before. It ignores an id
// that the request did not have.
func (a *Answers) add(id string, r outbox.Result) {
	n, ok := EntryIndex(id, len(a.at))
	if !ok {
		return
	}
	if a.answered[n] {
		r = outbox.Result{Class: outbox.Unknown, Code: CodeContradiction, Err: errContradiction}
	}
	a.answered[n] = true
	a.results[a.at[n]] = r
}

var (
	errNoAnswer      = errors.New("the answer does not mention the entry")
	errContradiction = errors.New("the answer mentions the entry more than once")
	errNoMessageID   = errors.New("the answer has no message id")
)

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
