//go:build unix

package chaos

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// injection is one planned fault.
type injection struct {
	kind kind
	// at is when the fault begins, counted from the first write; lasts is how long it goes on, 0 for kinds that
	// happen at once.
	at, lasts time.Duration
	// seed decides all that is drawn while the fault is injected, such as which calls it hits.
	seed uint64
	// took is how many times the fault had an effect, and err why it could not be injected, nil when it was.
	took int
	err  error
}

// String returns the name of the kind, the begin and the length in seconds, such as "kill@1.2s/0.0s".
func (i *injection) String() string {
	return fmt.Sprintf("%s@%.1fs/%.1fs", i.kind.name, i.at.Seconds(), i.lasts.Seconds())
}

// makePlan returns the four to six faults of the run with a seed, in the order of their begin: of the kinds in
// names, of different kinds as far as there are that many. They begin from half a second after the start to
// half a second before the time active is over. It returns nil for no names.
func makePlan(seed uint64, names []string, active time.Duration) []injection {
	// Neighbouring seeds must differ in more than a few bits.
	random := rand.New(rand.NewPCG(seed*0x9e3779b97f4a7c15, seed^0xbf58476d1ce4e5b9)) //nolint:gosec // Repeatable on purpose.
	all := kinds()
	pool := slices.DeleteFunc(all, func(k kind) bool { return !slices.Contains(names, k.name) })
	random.Shuffle(len(pool), func(a, b int) { pool[a], pool[b] = pool[b], pool[a] })
	if len(pool) == 0 {
		return nil
	}
	plan := make([]injection, 4+random.IntN(3))
	for n := range plan {
		k := pool[n%len(pool)]
		plan[n] = injection{
			kind:  k,
			at:    500*time.Millisecond + time.Duration(random.Int64N(int64(active-time.Second))),
			lasts: k.least + time.Duration(random.Int64N(int64(k.most-k.least)+1)),
			seed:  random.Uint64(),
		}
	}
	slices.SortStableFunc(plan, func(a, b injection) int { return cmp.Compare(a.at, b.at) })
	return plan
}

// planText returns a plan in one line.
func planText(plan []injection) string {
	words := make([]string, len(plan))
	for i := range plan {
		words[i] = plan[i].String()
	}
	return strings.Join(words, " ")
}
