package fakebroker

import "container/heap"

// group is the messages of one message group, in order. In a standard queue
// every message has a group of its own.
//
// A group can be received from while its head is visible, and then as far as
// the first hidden message. That one rule gives the behaviour recorded from
// AWS: a group with its head in flight is blocked; a head made visible again
// comes back while its successor is still in flight; what follows an invisible
// message stays hidden.
type group struct {
	key        string
	head, tail *message
	readyIndex int
}

func (g *group) append(m *message) {
	m.group, m.prev, m.next = g, g.tail, nil
	if g.tail == nil {
		g.head = m
	} else {
		g.tail.next = m
	}
	g.tail = m
}

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

// refresh puts g where it belongs after its head changed: among the ready
// groups, among the others, or nowhere when it is empty.
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

// readyGroups is a heap of the groups that can be received from, the one with
// the oldest head first.
type readyGroups []*group

func (h readyGroups) Len() int           { return len(h) }
func (h readyGroups) Less(i, j int) bool { return h[i].head.sequence < h[j].head.sequence }
func (h readyGroups) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].readyIndex, h[j].readyIndex = i, j
}

func (h *readyGroups) Push(x any) {
	g, _ := x.(*group)
	g.readyIndex = len(*h)
	*h = append(*h, g)
}

func (h *readyGroups) Pop() any {
	old := *h
	g := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	g.readyIndex = -1
	return g
}

// timedMessages is a heap of the hidden messages, the next to appear first.
type timedMessages []*message

func (h timedMessages) Len() int           { return len(h) }
func (h timedMessages) Less(i, j int) bool { return h[i].visibleAt < h[j].visibleAt }
func (h timedMessages) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].timedIndex, h[j].timedIndex = i, j
}

func (h *timedMessages) Push(x any) {
	m, _ := x.(*message)
	m.timedIndex = len(*h)
	*h = append(*h, m)
}

func (h *timedMessages) Pop() any {
	old := *h
	m := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	m.timedIndex = -1
	return m
}
