package awsfake

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"iter"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/fakebroker"
)

// HistoryMode says how much the server remembers of the messages that queues and topics accepted.
type HistoryMode int

const (
	// HistoryFull keeps every acceptance with its body.
	HistoryFull HistoryMode = iota
	// HistoryHashes keeps every acceptance, with the SHA-256 of its body in place of body and attributes.
	HistoryHashes
	// HistoryCounts keeps only the tallies, with one number for each message group, so that a benchmark of any length
	// fits into memory.
	HistoryCounts
)

// Accepted is a message that a queue or topic accepted, or suppressed as a duplicate, with success for the sender. What
// a topic hands to a queue is accepted twice: by the topic and by the queue.
type Accepted struct {
	// Offset is the position in the history, from 0 on without gaps.
	Offset int64     `json:"offset"`
	At     time.Time `json:"at"`
	// Kind is "queue" or "topic", and Name the name of that queue or topic.
	Kind string `json:"kind"`
	Name string `json:"name"`
	// Source says what sent the message: "client" for a call of the API, "topic" for a subscription,
	// "dead_letter" for a move after too many receives, "move_task" for a StartMessageMoveTask.
	Source          string `json:"source"`
	GroupID         string `json:"group_id,omitempty"`
	DeduplicationID string `json:"deduplication_id,omitempty"`
	// MessageID and SequenceNumber are those in the answer to the sender: for a suppressed message, those of
	// the first one.
	MessageID      string `json:"message_id"`
	SequenceNumber string `json:"sequence_number,omitempty"`
	// Suppressed says that the deduplication id was used before in the window: the sender's answer was a
	// success, and nothing was delivered.
	Suppressed bool `json:"suppressed"`
	// Attributes and Body are set with HistoryFull and for OnAccepted, BodySHA256, in hexadecimal, with
	// HistoryHashes. The value of a binary attribute is not kept: it is "".
	Attributes map[string]string `json:"attributes,omitempty"`
	Body       string            `json:"body,omitempty"`
	BodySHA256 string            `json:"body_sha256,omitempty"`
}

// Tally counts the acceptances of one queue or topic since the start or the last Reset. Groups is the number of
// message groups; First and Last are the times of the first and the last acceptance.
type Tally struct {
	Kind string `json:"kind"`
	Name string `json:"name"`
	// Accepted counts the messages that were not suppressed.
	Accepted   int64 `json:"accepted"`
	Suppressed int64 `json:"suppressed"`
	Groups     int   `json:"groups"`
	// OutOfOrder counts accepted messages whose order attribute (see Config.OrderAttribute) was lower than the
	// highest before in their group, and Repeated those where it equalled the highest: a duplicate that
	// deduplication let through. A message without a number there is not compared, and counts as 0 for the next
	// when it is the first of its group.
	OutOfOrder int64     `json:"out_of_order"`
	Repeated   int64     `json:"repeated"`
	First      time.Time `json:"first"`
	Last       time.Time `json:"last"`
}

// history remembers and counts what queues and topics accepted, as cfg says.
type history struct {
	cfg Config

	mu sync.Mutex
	// next is the offset of the next acceptance, also with HistoryCounts, where log stays empty.
	next    int64
	log     []Accepted
	tallies map[[2]string]*tally // by kind and name
}

// tally is a Tally with, by message group, the highest number of the order attribute so far.
type tally struct {
	Tally
	last map[string]int64
}

// reset forgets everything; offsets begin at 0 again.
func (h *history) reset() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.next, h.log, h.tallies = 0, nil, map[[2]string]*tally{}
}

func (h *history) observe(a fakebroker.Acceptance) {
	r := Accepted{
		At: a.At, Kind: a.Kind, Name: a.Name, Source: a.Source, GroupID: a.GroupID, DeduplicationID: a.DeduplicationID,
		MessageID: a.MessageID, SequenceNumber: a.SequenceNumber, Suppressed: a.Suppressed,
	}
	if h.cfg.History == HistoryFull || h.cfg.OnAccepted != nil {
		r.Body = a.Body
		r.Attributes = make(map[string]string, len(a.Attributes))
		for i := range a.Attributes {
			r.Attributes[a.Attributes[i].Name] = a.Attributes[i].Value
		}
	}
	if h.cfg.History == HistoryHashes {
		sum := sha256.Sum256([]byte(a.Body))
		r.BodySHA256 = hex.EncodeToString(sum[:])
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.count(&a)
	r.Offset = h.next
	h.next++
	if h.cfg.OnAccepted != nil {
		h.cfg.OnAccepted(r)
	}
	if h.cfg.History == HistoryCounts {
		return
	}
	if h.cfg.History == HistoryHashes {
		r.Body, r.Attributes = "", nil
	}
	h.log = append(h.log, r)
}

func (h *history) count(a *fakebroker.Acceptance) {
	t := h.tallies[[2]string{a.Kind, a.Name}]
	if t == nil {
		t = &tally{Tally: Tally{Kind: a.Kind, Name: a.Name, First: a.At}, last: map[string]int64{}}
		h.tallies[[2]string{a.Kind, a.Name}] = t
	}
	t.Last = a.At
	if a.Suppressed {
		t.Suppressed++
		return
	}
	t.Accepted++
	last, known := t.last[a.GroupID]
	position := last
	if n, ok := orderOf(a.Attributes, h.cfg.OrderAttribute); ok {
		switch {
		case known && n < last:
			t.OutOfOrder++
		case known && n == last:
			t.Repeated++
		}
		position = max(n, last)
		if !known {
			position = n
		}
	}
	t.last[a.GroupID] = position
	t.Groups = len(t.last)
}

func orderOf(attributes []fakebroker.Attribute, name string) (int64, bool) {
	for i := range attributes {
		if attributes[i].Name == name {
			n, err := strconv.ParseInt(attributes[i].Value, 10, 64)
			return n, err == nil
		}
	}
	return 0, false
}

// slice returns up to limit acceptances from offset on, and the offset of the next after them. It returns none at the
// end of the history, and always with HistoryCounts. The caller must not change what is returned.
func (h *history) slice(offset int64, limit int) ([]Accepted, int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	from := min(max(offset, 0), int64(len(h.log)))
	to := min(from+int64(limit), int64(len(h.log)))
	return h.log[from:to:to], to
}

// History returns an iterator over what was accepted, in the order of acceptance, up to the end that the
// history has when the iterator gets there. It is empty with [HistoryCounts].
func (s *Server) History() iter.Seq[Accepted] {
	return func(yield func(Accepted) bool) {
		for offset := int64(0); ; {
			part, next := s.history.slice(offset, 1024)
			if len(part) == 0 {
				return
			}
			for _, a := range part {
				if !yield(a) {
					return
				}
			}
			offset = next
		}
	}
}

// Tally returns the counts of the queue called name or, when no such queue accepted anything, of the topic of
// that name. They are zero when neither did.
func (s *Server) Tally(name string) Tally {
	for _, t := range s.Tallies() {
		if t.Name == name {
			return t
		}
	}
	return Tally{Name: name}
}

// Tallies returns the counts of every queue and topic that accepted anything: queues first, then topics, each
// by name.
func (s *Server) Tallies() []Tally {
	s.history.mu.Lock()
	defer s.history.mu.Unlock()
	out := make([]Tally, 0, len(s.history.tallies))
	for _, t := range s.history.tallies {
		out = append(out, t.Tally)
	}
	slices.SortFunc(out, func(a, b Tally) int {
		return cmp.Or(strings.Compare(a.Kind, b.Kind), strings.Compare(a.Name, b.Name))
	})
	return out
}
