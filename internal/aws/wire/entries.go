package wire

import (
	"strconv"

	"github.com/serverless-outbox/serverless-outbox/internal/aws/batch"
)

// Entry is one entry of an answer as a [Codec] reads it. Its texts are parts of
// the body and nil where the answer has none.
type Entry struct {
	// Accepted says that the entry is among the successes. MessageID and SequenceNumber are for those.
	Accepted bool
	// SenderFault is the broker's statement that the sender is to blame. It, Code and Message are for failures.
	SenderFault    bool
	ID             []byte
	MessageID      []byte
	SequenceNumber []byte
	// MD5 is the checksum of the message's body, in hexadecimal. Only SQS gives it.
	MD5     []byte
	Code    []byte
	Message []byte
}

// Entries are the entries of one answer, in its order.
type Entries struct {
	list [batch.MaxEntries]Entry
	n    int
}

// Add adds an entry of the successes (accepted) or the failures, and returns it to be filled in, or nil when
// there are batch.MaxEntries already.
func (e *Entries) Add(accepted bool) *Entry {
	if e.n == len(e.list) {
		return nil
	}
	e.n++
	e.list[e.n-1] = Entry{Accepted: accepted}
	return &e.list[e.n-1]
}

// All returns the entries, in the order of the answer. The slice is valid until the Entries are used again.
func (e *Entries) All() []Entry { return e.list[:e.n] }

// addTo adds the entries to answers, with copies of their texts: the buffer of the body is used again.
func (e *Entries) addTo(answers *batch.Answers) {
	size := 0
	for i := range e.All() {
		size += len(e.list[i].MessageID) + len(e.list[i].SequenceNumber)
	}
	// All ids and numbers are parts of one string: one allocation.
	scratch := make([]byte, 0, size)
	for i := range e.All() {
		scratch = append(append(scratch, e.list[i].MessageID...), e.list[i].SequenceNumber...)
	}
	texts := string(scratch)
	cut := func(n int) (text string) {
		text, texts = texts[:n], texts[n:]
		return text
	}
	for i := range e.All() {
		entry := &e.list[i]
		id, messageID, sequenceNumber := entryID(entry.ID), cut(len(entry.MessageID)), cut(len(entry.SequenceNumber))
		if entry.Accepted {
			answers.Accept(id, messageID, sequenceNumber)
		} else {
			answers.Refuse(id, string(entry.Code), string(entry.Message), entry.SenderFault)
		}
	}
}

// entryID returns id as a string, without an allocation for the ids of batch.EntryID.
func entryID(id []byte) string {
	if len(id) == 1 && id[0] >= '0' && id[0] <= '9' {
		return strconv.Itoa(int(id[0] - '0'))
	}
	return string(id)
}
