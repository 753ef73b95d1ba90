package fakebroker

import "container/heap"

// group is the messages of one message group, in order. In a standard queue every message has a group of its own.
//
// While its head is visible, the messages up to the first hidden one can be received, and otherwise none. So groups
// behave as recorded from AWS: a group with its head in flight gives no message, and a head made visible again comes
// back while its successor is still in flight.
type group struct {
	// key is the group id, or in a standard queue the id of the only message.
	key string
	// head and tail are the oldest and the newest message, nil when there is none.
	head, tail *message
	// readyIndex is the place in Queue.ready, -1 when the group is not there.
	readyIndex int
}

// groupOf returns the group that m belongs to, from q.groups, where it adds a new one when there is none. q.mu is
// locked.
func (q *Queue) groupOf(m *message) *group {
	key := m.groupID
	if !q.fifo {
		key = string(m.id[:])
	}
	g := q.groups[key]
	if g == nil {
		g = &group{key: key, readyIndex: -1}
		q.groups[key] = g
	}
	return g
}

// append adds m, which is in no group, at the end. The caller refreshes the group.
func (g *group) append(m *message) {
	m.group, m.prev, m.next = g, g.tail, nil
	if g.tail == nil {
		g.head = m
	} else {
		g.tail.next = m
	}
	g.tail = m
}

// remove takes m, which is in g, out of the group, and sets m.group to nil. The caller passes g to Queue.refresh.
func (g *group) remove(m *message) {
	if m.prev == nil {
		g.head = m.next
	} else {
		m.prev.next = m.next
	}
	if m.next == nil {
		g.tail = m.prev
	} else {
		m.next.prev = m.prev
	}
	m.prev, m.next, m.group = nil, nil, nil
}

// refresh puts g where it belongs after its head changed: into q.ready when the head is visible, out of q.ready
// otherwise, and out of q.groups when g is empty. It wakes waiting receives when g comes into q.ready. q.mu is locked.
func (q *Queue) refresh(g *group) {
	switch {
	case g.head != nil && !g.head.hidden:
		if g.readyIndex >= 0 {
			heap.Fix(&q.ready, g.readyIndex)
			return
		}
		heap.Push(&q.ready, g)
		if q.wake != nil {
			close(q.wake)
			q.wake = nil
		}
	case g.readyIndex >= 0:
		heap.Remove(&q.ready, g.readyIndex)
	}
	if g.head == nil {
		delete(q.groups, g.key)
	}
}

// Before implements [placed.Item]: the group with the oldest head is received first.
func (g *group) Before(other *group) bool { return g.head.sequence < other.head.sequence }

// Place implements [placed.Item].
func (g *group) Place() *int { return &g.readyIndex }

// Before implements [placed.Item]: of the hidden messages, the next to appear is first.
func (m *message) Before(other *message) bool { return m.visibleAt < other.visibleAt }

// Place implements [placed.Item].
func (m *message) Place() *int { return &m.timedIndex }
