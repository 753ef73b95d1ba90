// Package fakebroker is the model behind the fake: queues, topics and their rules,
// without any wire format.
package fakebroker

import (
	"math/rand/v2"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Clock tells and waits for time. Everything in the broker that depends on
// time goes through it.
type Clock interface {
	Now() time.Time
	// AfterFunc calls f once d has passed and returns a function that prevents
	// it, as [time.Timer.Stop] does.
	AfterFunc(d time.Duration, f func()) (stop func() bool)
}

// Acceptance is one message that a queue or a topic answered with success.
type Acceptance struct {
	At              time.Time
	Kind            string
	Name            string
	Source          string
	GroupID         string
	DeduplicationID string
	MessageID       string
	SequenceNumber  string
	Suppressed      bool
	Attributes      []Attribute
	Body            string
}

// Kinds of destinations and sources in an [Acceptance].
const (
	KindQueue = "queue"
	KindTopic = "topic"

	SourceClient     = "client"
	SourceTopic      = "topic"
	SourceDeadLetter = "dead_letter"
	SourceMoveTask   = "move_task"
)

// Config sets up a Broker. Every field is required.
type Config struct {
	Clock       Clock
	Region      string
	Account     string
	DedupWindow time.Duration
	// Discard keeps no message for consumers.
	Discard bool
	// Observe is called for every acceptance, in the order of each destination
	// and while that destination is locked.
	Observe func(Acceptance)
	// Lag returns how long a topic's delivery to a queue takes.
	Lag func(topic, queue string) time.Duration
	// URL returns the address of the server, with which the URL of each queue begins.
	URL func() string
}

// Broker has all queues, topics and move tasks of one account and region.
type Broker struct {
	cfg      Config
	sequence atomic.Uint64

	mu     sync.RWMutex
	queues map[string]*Queue
	topics map[string]*Topic
	tasks  []*MoveTask

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

// Reset forgets every queue, topic and task.
func (b *Broker) Reset() {
	b.mu.Lock()
	queues, tasks := b.queues, b.tasks
	b.queues, b.topics, b.tasks = map[string]*Queue{}, map[string]*Topic{}, nil
	b.mu.Unlock()
	b.undelivered.Store(0)
	for _, t := range tasks {
		t.cancel()
	}
	for _, q := range queues {
		q.close()
	}
}

// Close ends move tasks and wakes every waiting receive.
func (b *Broker) Close() { b.Reset() }

// Undelivered returns how many deliveries from topics were given up without a
// dead-letter queue to take them.
func (b *Broker) Undelivered() int64 { return b.undelivered.Load() }

func (b *Broker) now() int64 { return b.cfg.Clock.Now().UnixNano() }

// nextSequence returns the next sequence number: 256 more, as real ones are not consecutive.
func (b *Broker) nextSequence() uint64 { return b.sequence.Add(256) }

func newID() (id [16]byte) {
	hi, lo := rand.Uint64(), rand.Uint64()
	for i := range 8 {
		id[i], id[8+i] = byte(hi>>(8*i)), byte(lo>>(8*i))
	}
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	return id
}

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

// Queue finds a queue by name, URL or ARN.
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
	out := make([]*Queue, 0, len(b.queues))
	for _, q := range b.queues {
		out = append(out, q)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].name < out[j].name })
	return out
}

// DeleteQueue removes a queue and its messages.
func (b *Broker) DeleteQueue(q *Queue) {
	b.mu.Lock()
	if b.queues[q.name] == q {
		delete(b.queues, q.name)
	}
	b.mu.Unlock()
	q.close()
}
