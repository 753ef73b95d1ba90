package placed_test

import (
	"container/heap"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/serverless-outbox/serverless-outbox/internal/placed"
)

type item struct{ value, place int }

func (i *item) Before(other *item) bool { return i.value < other.value }
func (i *item) Place() *int             { return &i.place }

func TestItemsKnowTheirPlaces(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // Repeatable on purpose.
	var h placed.Heap[*item]
	var in []*item
	for range 2000 {
		switch n := random.IntN(4); {
		case n < 2 || len(in) == 0:
			i := &item{value: random.IntN(100), place: -1}
			heap.Push(&h, i)
			in = append(in, i)
		case n == 2:
			i := in[random.IntN(len(in))]
			i.value = random.IntN(100)
			heap.Fix(&h, i.place)
		default:
			k := random.IntN(len(in))
			i := in[k]
			heap.Remove(&h, i.place)
			in = slices.Delete(in, k, k+1)
			if i.place != -1 {
				t.Fatalf("an item that was taken out has place %d", i.place)
			}
		}
		for _, i := range in {
			if h[i.place] != i {
				t.Fatal("an item is not at its place")
			}
		}
	}
	last := -1
	for len(h) > 0 {
		i := h.Take()
		if i.value < last || i.place != -1 {
			t.Fatalf("took %d with place %d after %d", i.value, i.place, last)
		}
		last = i.value
	}
}
