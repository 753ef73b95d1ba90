// Package placed is a heap whose items know their places in it, so that one of them can be moved or taken out.
package placed

import "container/heap"

// Item is an element of a heap: it compares itself with another, and keeps its place.
type Item[T any] interface {
	// Before says whether the item comes out of the heap before other.
	Before(other T) bool
	// Place returns a pointer to the variable that has the item's index in the heap. The heap writes to it when the
	// item moves, and writes -1 when the item is taken out. It should be -1 in an item that was never in a heap.
	Place() *int
}

// Heap is a binary heap in a slice: the item that comes out first, by Before, is at index 0. Items are added, moved and
// taken out with the functions of container/heap, or with Take. The zero value is an empty heap.
type Heap[T Item[T]] []T

// Len implements [heap.Interface]: it returns the number of items.
func (h Heap[T]) Len() int { return len(h) }

// Less implements [heap.Interface]: it says whether the item at index i comes out before the one at index j.
func (h Heap[T]) Less(i, j int) bool { return h[i].Before(h[j]) }

// Swap implements [heap.Interface]: it swaps the items at i and j and writes their new places.
func (h Heap[T]) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	*h[i].Place(), *h[j].Place() = i, j
}

// Push implements [heap.Interface]: it appends x, which must be a T. It is for heap.Push, which callers use.
func (h *Heap[T]) Push(x any) {
	item, _ := x.(T)
	*item.Place() = len(*h)
	*h = append(*h, item)
}

// Pop implements [heap.Interface]: it removes and returns the last item of the slice. It is for heap.Pop, which callers
// use, or Take.
func (h *Heap[T]) Pop() any {
	var none T
	last := len(*h) - 1
	item := (*h)[last]
	(*h)[last] = none
	*h = (*h)[:last]
	*item.Place() = -1
	return item
}

// Take removes and returns the first item. The heap must not be empty.
func (h *Heap[T]) Take() T {
	item, _ := heap.Pop(h).(T)
	return item
}
