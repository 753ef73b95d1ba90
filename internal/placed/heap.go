// Package placed is a heap whose items know their places in it, so that one of
// them can be moved or taken out.
package placed

import "container/heap"

// Item is what a heap holds: it compares itself with another, and keeps its place.
type Item[T any] interface {
	Before(other T) bool
	// Place is where the item keeps its index in the heap, -1 outside of it.
	Place() *int
}

// Heap has the least of its items first. The functions of container/heap change it.
type Heap[T Item[T]] []T

// Len implements [heap.Interface].
func (h Heap[T]) Len() int { return len(h) }

// Less implements [heap.Interface].
func (h Heap[T]) Less(i, j int) bool { return h[i].Before(h[j]) }

// Swap implements [heap.Interface].
func (h Heap[T]) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	*h[i].Place(), *h[j].Place() = i, j
}

// Push implements [heap.Interface].
func (h *Heap[T]) Push(x any) {
	item, _ := x.(T)
	*item.Place() = len(*h)
	*h = append(*h, item)
}

// Pop implements [heap.Interface].
func (h *Heap[T]) Pop() any {
	var none T
	last := len(*h) - 1
	item := (*h)[last]
	(*h)[last] = none
	*h = (*h)[:last]
	*item.Place() = -1
	return item
}

// Take takes the first item out. The heap must not be empty.
func (h *Heap[T]) Take() T {
	item, _ := heap.Pop(h).(T)
	return item
}
