package fakebroker

import (
	"container/heap"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"maps"
	"strconv"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/serverless-outbox/serverless-outbox/internal/placed"
)

// Queue is one queue with its messages. All methods are safe for concurrent use.
type Queue struct {
	b         *Broker
	name, arn string
	fifo      bool
	// tag begins each receipt handle, so that one of another queue, or of an earlier one of the name, is refused.
	tag [8]byte
	// closed is closed when the queue is deleted.
	closed chan struct{}

	// mu guards the fields below.
	mu      sync.Mutex
	deleted bool
	// attrs has the attributes as they were given, and the defaults of others; settings has what they mean.
	attrs    map[string]string
	tags     map[string]string
	settings settings
	// created, modified and purgedAt are in nanoseconds since 1970; purgedAt is 0 before the first purge.
	created  int64
	modified int64
	purgedAt int64

	// groups has the groups with messages, by key, and ready those whose first message is visible.
	groups map[string]*group
	ready  placed.Heap[*group]
	// timed has the hidden messages, the next to appear first.
	timed placed.Heap[*message]
	// seen has the messages that were received at least once, by id.
	seen map[uuid.UUID]*message
	// count is the number of all messages, delayed of those that are delayed.
	count   int
	delayed int
	dedup   dedupTable
	// attempts has the receives that can be repeated, by attempt id.
	attempts map[string]attempt
	// wake is closed, and then set to nil, to make waiting receives look again: when a group becomes ready, and when
	// the visibility of a message changes. The next receive that waits makes a new one.
	wake chan struct{}
}

// Name returns the queue's name.
func (q *Queue) Name() string { return q.name }

// ARN returns the queue's ARN.
func (q *Queue) ARN() string { return q.arn }

// URL returns the queue's URL.
func (q *Queue) URL() string { return q.b.QueueURL(q.name) }

// CreateQueue makes a queue, with the defaults of SQS for attributes that attrs does not have, or returns the queue of
// that name if every given attribute has the same value there. It returns an *Error when one differs, and for a bad
// name or attribute. attrs and tags may be nil; tags are ignored for a queue that exists.
func (b *Broker) CreateQueue(name string, attrs, tags map[string]string) (*Queue, error) {
	fifo := attrs["FifoQueue"] == "true"
	if _, given := attrs["FifoQueue"]; given && !fifo {
		return nil, InvalidAttributeName("Unknown Attribute FifoQueue.")
	}
	if !validName(name, fifo, 80) {
		if fifo {
			return nil, InvalidParameterValue("The name of a FIFO queue can only include alphanumeric characters, hyphens, or underscores, must end with .fifo suffix and be 1 to 80 in length.")
		}
		return nil, InvalidParameterValue("Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length")
	}
	merged := defaultAttributes(fifo)
	maps.Copy(merged, attrs)
	parsed, err := b.parseSettings(name, fifo, merged, attrs)
	if err != nil {
		return nil, err
	}

	b.mu.Lock()
	defer b.mu.Unlock()
	if q := b.queues[name]; q != nil {
		q.mu.Lock()
		defer q.mu.Unlock()
		for k, v := range attrs {
			if !sameAttribute(k, q.attrs[k], v) {
				return nil, Fault("QueueAlreadyExists", "com.amazonaws.sqs#QueueNameExists",
					"A queue already exists with the same name and a different value for attribute %s", k)
			}
		}
		return q, nil
	}
	now := b.now()
	q := &Queue{
		b: b, name: name, arn: b.QueueARN(name), fifo: fifo, closed: make(chan struct{}),
		attrs: merged, tags: maps.Clone(tags), settings: parsed, created: now, modified: now,
		groups: map[string]*group{}, seen: map[uuid.UUID]*message{}, attempts: map[string]attempt{},
		dedup: newDedupTable(b.cfg.DedupWindow),
	}
	sum := sha256.Sum256([]byte(q.arn + strconv.FormatInt(now, 10)))
	copy(q.tag[:], sum[:])
	b.queues[name] = q
	return q, nil
}

// close marks the queue as deleted, which ends receives that wait. Calling it again does nothing.
func (q *Queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.deleted {
		q.deleted = true
		close(q.closed)
	}
}

// insert adds m at the end of its group, hidden for delay when that is not 0. q.mu is locked.
func (q *Queue) insert(now int64, m *message, delay time.Duration) {
	g := q.groupOf(m)
	g.append(m)
	q.count++
	m.timedIndex = -1
	if delay > 0 {
		m.delayed = true
		q.delayed++
		q.hide(m, now+int64(delay))
	}
	if g.head == m {
		q.refresh(g)
	}
}

// remove takes m out of the queue and its group, which the caller refreshes. q.mu is locked.
func (q *Queue) remove(m *message) {
	if m.hidden {
		heap.Remove(&q.timed, m.timedIndex)
	}
	if m.delayed {
		q.delayed--
	}
	delete(q.seen, m.id)
	m.group.remove(m)
	q.count--
}

// hide makes m invisible until the time until, in nanoseconds since 1970. q.mu is locked; the caller refreshes the
// group.
func (q *Queue) hide(m *message, until int64) {
	m.visibleAt = until
	if m.hidden {
		heap.Fix(&q.timed, m.timedIndex)
		return
	}
	m.hidden = true
	heap.Push(&q.timed, m)
}

// expire makes visible the hidden messages whose time has come. q.mu is locked.
func (q *Queue) expire(now int64) {
	for len(q.timed) > 0 && q.timed[0].visibleAt <= now {
		m := q.timed.Take()
		m.hidden = false
		if m.delayed {
			m.delayed = false
			q.delayed--
		}
		if m.group.head == m {
			q.refresh(m.group)
		}
	}
}

// Purge removes every message. It returns an *Error, with status 403, within 60 seconds after the last purge, as SQS
// does.
func (q *Queue) Purge() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.b.now()
	if q.purgedAt != 0 && now-q.purgedAt < int64(time.Minute) {
		e := Modelled("PurgeQueueInProgress", "Only one PurgeQueue operation on %s is allowed every 60 seconds.", q.name)
		e.Status = 403
		return e
	}
	q.purgedAt = now
	q.groups, q.seen, q.attempts = map[string]*group{}, map[uuid.UUID]*message{}, map[string]attempt{}
	q.ready, q.timed, q.count, q.delayed = nil, nil, 0, 0
	return nil
}

// Counts has the number of messages of a queue in each state.
type Counts struct {
	Visible  int `json:"visible"`
	InFlight int `json:"in_flight"`
	Delayed  int `json:"delayed"`
}

// Counts returns how many messages are in the queue, by state.
func (q *Queue) Counts() Counts {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.counts()
}

// counts is Counts for callers that have locked q.mu.
func (q *Queue) counts() Counts {
	q.expire(q.b.now())
	return Counts{Visible: q.count - len(q.timed), InFlight: len(q.timed) - q.delayed, Delayed: q.delayed}
}

// handle returns the receipt handle of m's latest receive: it has the queue's tag, the message's id and the number of
// receives. q.mu is locked.
func (q *Queue) handle(m *message) string {
	var b [28]byte
	copy(b[:8], q.tag[:])
	copy(b[8:24], m.id[:])
	binary.BigEndian.PutUint32(b[24:], uint32(m.receives))
	return base64.StdEncoding.EncodeToString(b[:])
}

// parseHandle returns the message id and the number of receives in a receipt handle, or an *Error for one that is not
// of this queue.
func (q *Queue) parseHandle(s string) (id uuid.UUID, receives int, err error) {
	b, decodeErr := base64.StdEncoding.DecodeString(s)
	if decodeErr != nil || len(b) != 28 || [8]byte(b[:8]) != q.tag {
		e := Fault("ReceiptHandleIsInvalid", "com.amazonaws.sqs#ReceiptHandleIsInvalid",
			"The input receipt handle \"%s\" is not a valid receipt handle.", s)
		e.Status = 404
		return id, 0, e
	}
	return uuid.UUID(b[8:24]), int(binary.BigEndian.Uint32(b[24:])), nil
}

// wait blocks until a group may have become ready, until the deadline, until the queue is
// deleted, or until ctx ends. now and deadline are in nanoseconds since 1970. It is called
// with q.mu locked and returns with q.mu unlocked.
func (q *Queue) wait(ctx context.Context, now, deadline int64) {
	if q.wake == nil {
		q.wake = make(chan struct{})
	}
	wake := q.wake
	until := deadline
	if len(q.timed) > 0 {
		until = min(until, q.timed[0].visibleAt)
	}
	q.mu.Unlock()
	due := make(chan struct{})
	stop := q.b.cfg.Clock.AfterFunc(time.Duration(until-now), func() { close(due) })
	defer stop()
	select {
	case <-wake:
	case <-due:
	case <-q.closed:
	case <-ctx.Done():
	}
}
