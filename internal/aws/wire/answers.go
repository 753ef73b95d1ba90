package wire

import (
	"bytes"
	"strconv"

	"github.com/serverless-outbox/serverless-outbox/internal/aws/batch"
)

// Entry is one entry of an answer. Its texts are parts of the body.
type Entry struct {
	Accepted       bool
	SenderFault    bool
	ID             []byte
	MessageID      []byte
	SequenceNumber []byte
	MD5            []byte
	Code           []byte
	Message        []byte
}

// Entries are the entries of an answer, in its order.
type Entries struct {
	list [batch.MaxEntries]Entry
	n    int
}

// Add returns a new entry, or nil when there are more than a batch can hold.
func (e *Entries) Add(accepted bool) *Entry {
	if e.n == len(e.list) {
		return nil
	}
	e.n++
	e.list[e.n-1] = Entry{Accepted: accepted}
	return &e.list[e.n-1]
}

// All returns the entries.
func (e *Entries) All() []Entry { return e.list[:e.n] }

// Repeated is true when two entries have the same id.
func (e *Entries) Repeated() bool {
	for i := range e.All() {
		for k := range i {
			if bytes.Equal(e.list[i].ID, e.list[k].ID) {
				return true
			}
		}
	}
	return false
}

// Answers copies the entries out of the body.
func (e *Entries) Answers() []batch.Answer {
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
	answers := make([]batch.Answer, e.n)
	for i := range e.All() {
		entry := &e.list[i]
		answers[i] = batch.Answer{
			ID:             entryID(entry.ID),
			Accepted:       entry.Accepted,
			MessageID:      cut(len(entry.MessageID)),
			SequenceNumber: cut(len(entry.SequenceNumber)),
			Code:           string(entry.Code),
			Message:        string(entry.Message),
			SenderFault:    entry.SenderFault,
		}
	}
	return answers
}

// entryID spares the ids of batch.EntryID an allocation.
func entryID(id []byte) string {
	if len(id) == 1 && id[0] >= '0' && id[0] <= '9' {
		return strconv.Itoa(int(id[0] - '0'))
	}
	return string(id)
}
