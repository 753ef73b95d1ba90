// Package fakebroker is the model behind awsfake, the fake of SNS and SQS: queues, topics and their rules, without
// any wire format.
package fakebroker

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Clock tells and waits for time. Everything in the broker that depends on
// time goes through its clock. The methods are called concurrently.
type Clock interface {
	Now() time.Time
	// AfterFunc calls f in a goroutine of its own once d has passed, and returns at once
	// with a function that prevents the call, as [time.Timer.Stop] does.
	AfterFunc(d time.Duration, f func()) (stop func() bool)
}

// Acceptance is one message that a queue or a topic accepted, or suppressed as a duplicate.
type Acceptance struct {
	At time.Time
	// Kind is KindQueue or KindTopic, and Name the name of that queue or topic.
	Kind string
	Name string
	// Source is where the message came from: SourceClient, SourceTopic, SourceDeadLetter or SourceMoveTask.
	Source string
	// GroupID and DeduplicationID are empty when the message has none.
	GroupID         string
	DeduplicationID string
	// MessageID and SequenceNumber are those in the answer to the sender: of a suppressed message, those of the
	// message that used the deduplication id first. SequenceNumber is empty at a standard queue or topic.
	MessageID      string
	SequenceNumber string
	// Suppressed is whether the deduplication id was known, so that nothing is delivered.
	Suppressed bool
	Attributes []Attribute
	// Body is the message's body; of a message with the structure "json", what SQS subscribers get.
	Body string
}

// Kinds of destinations and sources in an [Acceptance]: a client's call, the delivery of a topic to a queue, the move
// of a message to its dead-letter queue, and a [MoveTask].
const (
	KindQueue = "queue"
	KindTopic = "topic"

	SourceClient     = "client"
	SourceTopic      = "topic"
	SourceDeadLetter = "dead_letter"
	SourceMoveTask   = "move_task"
)

// Config sets up a Broker. Every field but Discard is required.
type Config struct {
	Clock Clock
	// Region and Account are parts of each ARN.
	Region  string
	Account string
	// DedupWindow is how long a FIFO queue or topic remembers a deduplication id.
	DedupWindow time.Duration
	// Discard keeps no message for consumers: queues accept messages and stay empty.
	Discard bool
	// Observe is called for every acceptance, for each queue and topic in its order. The queue or topic is locked at
	// that time: Observe must not call it.
	Observe func(Acceptance)
	// Lag returns how long the delivery from the topic to the queue of these names takes; 0 is at once.
	Lag func(topic, queue string) time.Duration
	// URL returns the address of the server, with which the URL of each queue begins.
	URL func() string
}

// Broker has all queues, topics and move tasks of one account and region.
// All methods are safe for concurrent use.
type Broker struct {
	cfg Config
	// sequence is the last sequence number given, of any queue or topic.
	sequence atomic.Uint64

	// mu guards queues and topics, which are by name, and tasks, which has ended ones too, the oldest first.
	mu     sync.RWMutex
	queues map[string]*Queue
	topics map[string]*Topic
	tasks  []*MoveTask

	// undelivered counts what Undelivered returns.
	undelivered atomic.Int64
}

// New returns an empty broker.
func New(cfg Config) *Broker {
	b := &Broker{cfg: cfg, queues: map[string]*Queue{}, topics: map[string]*Topic{}}
	// Starting from the time keeps numbers growing across restarts: at most 16
	// a microsecond are used.
	b.sequence.Store(uint64(cfg.Clock.Now().UnixMicro()) * 16)
	return b
}

// Reset forgets every queue, topic and task, cancels tasks that run, ends every waiting receive with an *Error, and
// sets Undelivered to 0.
func (b *Broker) Reset() {
	b.mu.Lock()
	queues, tasks := b.queues, b.tasks
	b.queues, b.topics, b.tasks = map[string]*Queue{}, map[string]*Topic{}, nil
	b.mu.Unlock()
	b.undelivered.Store(0)
	for _, t := range tasks {
		t.end(moveCancelled, "")
	}
	for _, q := range queues {
		q.close()
	}
}

// Undelivered returns how many deliveries from topics since the last Reset were given up
// because neither the subscribed queue nor the subscription's dead-letter queue took them.
func (b *Broker) Undelivered() int64 { return b.undelivered.Load() }

// now returns the clock's time in nanoseconds since 1970.
func (b *Broker) now() int64 { return b.cfg.Clock.Now().UnixNano() }

// nextSequence returns the next sequence number: 256 more, as real ones are not consecutive.
func (b *Broker) nextSequence() uint64 { return b.sequence.Add(256) }

// QueueARN returns the ARN of the queue called name.
func (b *Broker) QueueARN(name string) string {
	return "arn:aws:sqs:" + b.cfg.Region + ":" + b.cfg.Account + ":" + name
}

// TopicARN returns the ARN of the topic called name.
func (b *Broker) TopicARN(name string) string {
	return "arn:aws:sns:" + b.cfg.Region + ":" + b.cfg.Account + ":" + name
}

// QueueURL returns the URL of the queue called name.
func (b *Broker) QueueURL(name string) string {
	return b.cfg.URL() + "/" + b.cfg.Account + "/" + name
}

// Queue finds a queue by name, URL or ARN, of which only the part with the name counts, or returns an *Error.
func (b *Broker) Queue(ref string) (*Queue, error) {
	name := ref[strings.LastIndexAny(ref, "/:")+1:]
	b.mu.RLock()
	q := b.queues[name]
	b.mu.RUnlock()
	if q == nil {
		return nil, errQueueDoesNotExist()
	}
	return q, nil
}

// Queues returns all queues, sorted by name.
func (b *Broker) Queues() []*Queue {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return slices.SortedFunc(maps.Values(b.queues), func(p, q *Queue) int { return strings.Compare(p.name, q.name) })
}

// DeleteQueue removes a queue and its messages, and ends receives that wait at it with an *Error. For a queue that was
// removed before it does nothing.
func (b *Broker) DeleteQueue(q *Queue) {
	b.mu.Lock()
	if b.queues[q.name] == q {
		delete(b.queues, q.name)
	}
	b.mu.Unlock()
	q.close()
}
