package source

import (
	"fmt"
	"iter"
	"math/rand/v2"
)

// Replay yields n deliveries made from base in rounds: each round has all of base, shuffled by seed, and renames the
// repositories as often as it takes for at least that many aggregates, once n is large enough. base must not be empty.
func Replay(base []Delivery, n, aggregates int, seed uint64) iter.Seq[Delivery] {
	scopes := copies(base, aggregates)
	return func(yield func(Delivery) bool) {
		random := rand.New(rand.NewPCG(seed, seed))
		for round := 0; n > 0; round++ {
			order := random.Perm(len(base))
			for _, i := range order[:min(n, len(order))] {
				d := base[i]
				if number := (round + i) % scopes; number > 0 {
					d = d.inScope(fmt.Sprintf("%s-%d", d.Scope, number))
				}
				if !yield(d) {
					return
				}
			}
			n -= len(order)
		}
	}
}

// InOrder yields the first n deliveries of base, or all when there are fewer.
func InOrder(base []Delivery, n int) iter.Seq[Delivery] {
	return func(yield func(Delivery) bool) {
		for _, d := range base[:min(n, len(base))] {
			if !yield(d) {
				return
			}
		}
	}
}

// copies returns under how many names each repository of base must appear so that there are at least as many aggregates
// as asked for; 1 at least.
func copies(base []Delivery, aggregates int) int {
	found := map[string]bool{}
	for _, d := range base {
		found[d.AggregateType()+" "+d.AggregateID()] = true
	}
	return max(1, (aggregates+len(found)-1)/max(1, len(found)))
}
