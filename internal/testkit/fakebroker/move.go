package fakebroker

import (
	"encoding/base64"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
)

// MoveTask moves the messages of a dead-letter queue to one queue, or each back to the queue that it came from.
type MoveTask struct {
	b           *Broker
	source      *Queue
	destination string // an ARN, empty when each message goes back
	// perSecond is how many messages are moved in a second, 0 for all at once.
	perSecond int
	started   time.Time
	id        uuid.UUID

	// mu guards the fields below.
	mu     sync.Mutex
	status string // moveRunning, moveCompleted, moveCancelled or moveFailed
	reason string // why the task failed, otherwise empty
	moved  int
	toMove int         // how many messages were visible at the start
	stop   func() bool // prevents the next step
}

// MoveStatus is what ListMessageMoveTasks says about a task. Handle, with which the task can be cancelled, is empty
// once it has ended. DestinationARN is empty when each message goes back to the queue that it came from. PerSecond is
// 0 without a limit. ToMove is how many messages were visible at the start.
type MoveStatus struct {
	Handle, Status, SourceARN, DestinationARN, FailureReason string
	PerSecond, Moved, ToMove                                 int
	Started                                                  time.Time
}

const (
	moveRunning   = "RUNNING"
	moveCompleted = "COMPLETED"
	moveCancelled = "CANCELLED"
	moveFailed    = "FAILED"
)

// StartMove begins to move the messages of the queue sourceARN to the queue destinationARN, or, when that is empty, each
// to the queue that it came from, and returns the task's handle. perSecond is from 1 to 500, or 0 for no limit. It
// returns an *Error when a task of the source runs already, the source is no dead-letter queue, the destination is the
// source or of another type, one of them does not exist, or perSecond is out of range.
func (b *Broker) StartMove(sourceARN, destinationARN string, perSecond int) (string, error) {
	source, err := b.Queue(sourceARN)
	if err != nil || source.arn != sourceARN {
		return "", errTaskNotFound("The resource that you specified for the SourceArn parameter doesn't exist.")
	}
	if perSecond < 0 || perSecond > 500 {
		return "", InvalidParameterValue("Value %d for parameter MaxNumberOfMessagesPerSecond is invalid. Reason: Must be between 1 and 500.", perSecond)
	}
	if len(b.DeadLetterSources(sourceARN)) == 0 {
		return "", InvalidParameterValue("Source queue must be configured as a Dead Letter Queue.")
	}
	if destinationARN != "" {
		d, err := b.Queue(destinationARN)
		if err != nil || d.arn != destinationARN {
			return "", errTaskNotFound("The resource that you specified for the DestinationArn parameter doesn't exist.")
		}
		if d == source {
			return "", InvalidParameterValue("Source queue arn and destination queue arn cannot be the same.")
		}
		if d.fifo != source.fifo {
			return "", InvalidParameterValue("Source and destination queues must be of the same type.")
		}
	}
	b.mu.Lock()
	for _, t := range b.tasks {
		if t.source == source && t.Status().Status == moveRunning {
			b.mu.Unlock()
			return "", Modelled("UnsupportedOperation", "There is already a task running. Only one active task is allowed for a source queue arn at a given time.")
		}
	}
	t := &MoveTask{
		b: b, source: source, destination: destinationARN, perSecond: perSecond,
		started: b.cfg.Clock.Now(), id: uuid.New(), status: moveRunning, toMove: source.Counts().Visible,
	}
	b.tasks = append(b.tasks, t)
	b.mu.Unlock()
	t.schedule(0)
	return t.handle(), nil
}

// DeadLetterSources returns the queues whose dead-letter queue is arn.
func (b *Broker) DeadLetterSources(arn string) []*Queue {
	var out []*Queue
	for _, q := range b.Queues() {
		if q.DeadLetterTarget() == arn {
			out = append(out, q)
		}
	}
	return out
}

// Moves returns the tasks of a source queue, ended ones too, the newest first, or an *Error when there is no such queue.
func (b *Broker) Moves(sourceARN string) ([]MoveStatus, error) {
	source, err := b.Queue(sourceARN)
	if err != nil || source.arn != sourceARN {
		return nil, errTaskNotFound("The resource that you specified for the SourceArn parameter doesn't exist.")
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	var out []MoveStatus
	for _, t := range slices.Backward(b.tasks) {
		if t.source == source {
			out = append(out, t.Status())
		}
	}
	return out, nil
}

// CancelMove stops the task with that handle and returns how many messages it had moved. It returns an *Error when there
// is no such task, or it does not run any more.
func (b *Broker) CancelMove(handle string) (int, error) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	for _, t := range b.tasks {
		if t.handle() != handle {
			continue
		}
		if !t.end(moveCancelled, "") {
			return 0, Modelled("UnsupportedOperation", "Only active tasks can be cancelled.")
		}
		return t.Status().Moved, nil
	}
	return 0, errTaskNotFound("The task does not exist.")
}

// handle returns the text that names the task to CancelMove.
func (t *MoveTask) handle() string {
	return base64.StdEncoding.EncodeToString(fmt.Appendf(nil, `{"taskId":"%s","sourceArn":"%s"}`, t.id.String(), t.source.arn))
}

// Status describes the task as it is now.
func (t *MoveTask) Status() MoveStatus {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := MoveStatus{
		Status: t.status, SourceARN: t.source.arn, DestinationARN: t.destination, FailureReason: t.reason,
		PerSecond: t.perSecond, Moved: t.moved, ToMove: t.toMove, Started: t.started,
	}
	if t.status == moveRunning {
		s.Handle = t.handle()
	}
	return s
}

// schedule makes the next step happen after d, unless the task has ended.
func (t *MoveTask) schedule(d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.status == moveRunning {
		t.stop = t.b.cfg.Clock.AfterFunc(d, t.step)
	}
}

// step moves one message and schedules the next step, or moves all when perSecond is 0. It ends the task as completed
// when no message is visible, and as failed when the queue for a message cannot be found; that message is put back.
func (t *MoveTask) step() {
	for {
		t.mu.Lock()
		running := t.status == moveRunning
		t.mu.Unlock()
		if !running {
			return
		}
		m := t.source.takeForMove()
		if m == nil {
			t.end(moveCompleted, "")
			return
		}
		target := t.destination
		if target == "" {
			target = m.source
		}
		if target == "" {
			t.source.putBack(m)
			t.end(moveFailed, "CouldNotDetermineMessageSource")
			return
		}
		q, err := t.b.Queue(target)
		if err != nil {
			t.source.putBack(m)
			t.end(moveFailed, "AWS.SimpleQueueService.NonExistentQueue")
			return
		}
		q.receiveMoved(m)
		t.mu.Lock()
		t.moved++
		t.mu.Unlock()
		if t.perSecond > 0 {
			t.schedule(time.Second / time.Duration(t.perSecond))
			return
		}
	}
}

// end sets how the task has ended, and why, prevents the next step, and returns true. It returns false and does
// nothing when the task has ended already.
func (t *MoveTask) end(status, reason string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.status != moveRunning {
		return false
	}
	t.status, t.reason = status, reason
	if t.stop != nil {
		t.stop()
	}
	return true
}

// takeForMove removes and returns the oldest message that can be received, nil when there is none or q is deleted.
func (q *Queue) takeForMove() *message {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.expire(q.b.now())
	if q.deleted || len(q.ready) == 0 {
		return nil
	}
	m := q.ready[0].head
	g := m.group
	q.remove(m)
	q.refresh(g)
	return m
}

// putBack puts a message that takeForMove returned back to the front of its group.
func (q *Queue) putBack(m *message) {
	q.mu.Lock()
	defer q.mu.Unlock()
	g := q.groupOf(m)
	m.group, m.prev, m.next = g, nil, g.head
	if g.head == nil {
		g.tail = m
	} else {
		g.head.prev = m
	}
	g.head = m
	q.count++
	if m.receives > 0 {
		q.seen[m.id] = m
	}
	q.refresh(g)
}

// receiveMoved accepts a copy of a message from a move task: the copy has a new id, a new time of sending and no
// receives, and the group and deduplication id of m. It is never suppressed.
func (q *Queue) receiveMoved(m *message) {
	q.mu.Lock()
	defer q.mu.Unlock()
	c := &message{
		id: uuid.New(), md5: m.md5, body: m.body, attributes: m.attributes,
		groupID: m.groupID, dedupID: m.dedupID, traceHeader: m.traceHeader,
	}
	q.accept(q.b.now(), c, q.settings.delay, SourceMoveTask)
}
