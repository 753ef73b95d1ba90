package relay

import (
	"cmp"
	"slices"
	"time"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

// item is an event that was read, and its message. It is buffered from admit until its settlement is known.
type item struct {
	// rec is the row that was read, without payload and headers: msg has them.
	rec *outbox.Record
	// msg is the message to send, empty once the event is unsettled. When the message could not be made, fault says why
	// and msg has only a size.
	msg outbox.Message
	// fault is why the event can never be sent, found before sending; nil for most. Such an event is buried
	// when its turn comes.
	fault error
	// lane is the lane that the event is buffered in, nil until admit buffers it.
	lane  *lane
	state itemState
	// tried is set once the event was sent: from then on no other event is put before it in its lane.
	tried bool
	// failed is set once the event had a result that was neither accepted nor throttled. From then on the event is a
	// suspect: see destination.suspects.
	failed bool
	// alone is set once a call with the event was not answered: from then on it is sent in calls of its own, so that no
	// other event waits for its next answer.
	alone bool
	// since is the tally of the destination at the last result of the event; before the first failure, the tally
	// before the call that the event was in.
	since tally
	// attempts counts the results of this event that were of the class Transient and its own: see destination.blames.
	// At Config.MaxAttempts the event is given up.
	attempts int
	// blocks says that the event was given up and blocks its lane, as a dead letter.
	blocks bool
	// unwritten says that the event blocks its lane, and that a settlement was answered which may not have written it:
	// the row was settled before, or is gone.
	unwritten bool
	// answer is what is to be written about the event: that it was accepted (with the broker's ids), or else
	// why it was given up. It is set when the event becomes unsettled.
	answer outbox.Result
}

// itemState is what happens to a buffered event. The window changes it.
type itemState int

const (
	// queued: the event waits in its lane's queue.
	queued itemState = iota
	// inFlight: the event is the first of its lane's queue, and in a call to a sink.
	inFlight
	// unsettled: the event was accepted or given up, has left the queue, and is not known to be settled yet.
	unsettled
)

// lane is the queue of one aggregate at one destination. At most its first item is in flight.
type lane struct {
	key   outbox.Lane
	shard int
	dest  *destination
	state laneState
	// queue has the items not yet accepted or given up, in order of id, except that a first item that was sent already
	// stays first when a row with a lower id becomes visible.
	queue []*item
	// deferred is the rows that the lane left in the table, and the release of the lane. Only the cursor
	// changes it.
	deferred laneDeferral
	// failures counts the sends in a row after which the lane backed off, for the length of its next back-off.
	// An accepted or buried event sets it to 0.
	failures int
	// sequence is the broker's sequence number of the event of the lane accepted last, empty before the first and where the
	// broker gives none.
	sequence string
	// retryAt is when a lane that backs off is due. heapIndex is its index in backingOffLanes, -1 when it is
	// not in there.
	retryAt   time.Time
	heapIndex int
	// watch, when set by a test, is called at each change of state with the old and the new one.
	watch func(was, is laneState)
}

// laneState is what a lane does now. doc.go has the diagram.
type laneState int

const (
	// resting: nothing to send, or the shard is being given back.
	resting laneState = iota
	// ready: in the destination's queue of ready lanes.
	ready
	// sending: the first item is in flight.
	sending
	// backingOff: the first item failed and is sent again at retryAt.
	backingOff
	// burying: an event was given up, and its settlement is not known to be written. If the next event were sent
	// now and this relay were killed, another relay would send the given up event after it.
	burying
	// blocked: an event was given up, OnReject is Block, and the settlement is not known to be written. Once it
	// is written, the lane is blocked in the table.
	blocked
)

// become changes the state. All changes of the state go through it.
func (l *lane) become(s laneState) {
	if l.watch != nil {
		l.watch(l.state, s)
	}
	l.state = s
}

// insert puts the item into the queue in order of id, but not before a first item that was sent already.
func (l *lane) insert(it *item) {
	n := len(l.queue)
	if n == 0 || l.queue[n-1].rec.ID < it.rec.ID {
		l.queue = append(l.queue, it)
		return
	}
	// Rows that became visible after the first item was sent stand behind it, in order among themselves.
	first := 0
	if l.queue[0].tried {
		first = 1
	}
	at, _ := slices.BinarySearchFunc(l.queue[first:], it.rec.ID, func(q *item, id int64) int { return cmp.Compare(q.rec.ID, id) })
	at += first
	l.queue = slices.Insert(l.queue, at, it)
}

// first returns the lowest id in the queue of the lane or deferred by it, 0 when there is none.
func (l *lane) first() int64 {
	first := l.deferred.first
	for _, it := range l.queue {
		if first == 0 || it.rec.ID < first {
			first = it.rec.ID
		}
	}
	return first
}

// pop removes the first item of the queue, which must not be empty.
func (l *lane) pop() {
	l.queue[0] = nil
	l.queue = l.queue[1:]
}
