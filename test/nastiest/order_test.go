package nastiest_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/relay"
)

// A lower id commits after a higher one was published.
func TestLateCommitIsDelivered(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.topic("orders")
	r := w.start(w.pool, nil)
	late := w.begin(w.pool)
	late.write(event("a", "orders", `{"n":1}`))
	w.commit(event("a", "orders", `{"n":2}`))
	w.rest()
	late.commit()
	w.rest()
	if sum := r.stop(); sum.Late != 1 || sum.Published != 2 {
		t.Errorf("late = %d, published = %d, want 1 and 2", sum.Late, sum.Published)
	}
	w.judge(w.pool)
}

// 200 transactions with up to a dozen open at a time, which write, take back a
// savepoint, commit and roll back in any order, while relays come and go.
func TestRandomTransactionsAreDeliveredInOrder(t *testing.T) {
	t.Parallel()
	for seed := range uint64(3) {
		t.Run(name("seed ", int(seed)), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.topic("orders")
			w.queue("audit", 0, relay.Skip, nil)
			rng := rand.New(rand.NewPCG(seed, 1))
			n := 0
			next := func() (string, string, string) {
				n++
				return name("a", rng.IntN(10)), []string{"orders", "audit"}[rng.IntN(2)], fmt.Sprintf(`{"n":%d}`, n)
			}
			r := w.start(w.pool, nil)
			var open []*writer
			for begun, restarts := 0, 0; begun < 200 || len(open) > 0; {
				if begun/50 > restarts {
					restarts++
					r.stop()
					r = w.start(w.pool, nil)
				}
				if begun < 200 && len(open) < 12 && rng.IntN(3) == 0 {
					open = append(open, w.begin(w.pool))
					begun++
				}
				if len(open) == 0 {
					continue
				}
				i := rng.IntN(len(open))
				switch rng.IntN(8) {
				case 0, 1, 2, 3:
					open[i].write(event(next()))
					continue
				case 4:
					open[i].undo(event(next()), event(next()))
					continue
				case 5:
					open[i].rollback()
				default:
					open[i].commit()
				}
				open = append(open[:i], open[i+1:]...)
			}
			w.rest()
			r.stop()
			if v := w.judge(w.pool); v.Committed < 100 || v.RolledBack < 50 || v.Accepted != v.Committed || v.Sends != v.Committed {
				t.Errorf("a poor history: %v", v)
			}
		})
	}
}

// What a savepoint took back is never seen, what was kept around it comes in
// order, and the ids that nobody will ever fill hold the position back no more.
func TestSavepointsAndRollbacksLeaveNoGapBehind(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.topic("orders")
	r := w.start(w.pool, nil)
	body := func(n int) string { return fmt.Sprintf(`{"n":%d}`, n) }
	whole := w.begin(w.pool)
	whole.write(event("a", "orders", body(0)))
	kept := w.begin(w.pool)
	kept.write(event("a", "orders", body(1)))
	kept.undo(event("a", "orders", body(2)), event("b", "orders", body(3)))
	kept.write(event("b", "orders", body(4)))
	// A savepoint in a savepoint: the inner one is taken back, the outer kept.
	outer, err := kept.tx.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	x := &writer{world: w, tx: outer}
	x.write(event("a", "orders", body(5)))
	x.undo(event("a", "orders", body(6)))
	x.write(event("a", "orders", body(7)))
	if err := outer.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	kept.events, kept.undone = append(kept.events, x.events...), append(kept.undone, x.undone...)
	kept.commit()
	w.rest()
	whole.rollback()
	last := w.begin(w.pool)
	last.write(event("a", "orders", body(8)))
	last.commit()
	w.rest()
	w.until("the position is past every gap", func() bool {
		return number(t, w.pool, "select count(*) from outbox.relays where low >= $1 and isempty(gaps)", last.events[0].Row) == 1
	})
	if sum := r.stop(); sum.Published != 5 {
		t.Errorf("published = %d, want 5", sum.Published)
	}
	if v := w.judge(w.pool); v.Committed != 5 || v.RolledBack != 4 || v.Sends != 5 {
		t.Errorf("%v", v)
	}
}

// Two events of equal bodies are two events: the deduplication id is made of the event id.
func TestEqualBodiesBothArrive(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.topic("orders")
	w.queue("audit", 0, relay.Skip, nil)
	r := w.start(w.pool, nil)
	for _, destination := range []string{"orders", "audit"} {
		w.commit(event("a", destination, `{"same":true}`), event("a", destination, `{"same":true}`))
	}
	w.rest()
	r.stop()
	if v := w.judge(w.pool); v.Accepted != 4 || v.Suppressed != 0 {
		t.Errorf("accepted = %d, suppressed = %d, want 4 and 0", v.Accepted, v.Suppressed)
	}
}

// A sequence with a cache hands out ids that are far behind by the time their
// transaction begins. No gap waits for them: only a sweep finds them.
func TestCachedSequenceLosesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.topic("orders")
	execute(t, w.pool, "alter sequence outbox.events_id_seq cache 10")
	first, err := w.pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer first.Release()
	second, err := w.pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer second.Release()
	r := w.start(w.pool, func(c *relay.Config) { c.SweepEvery = 50 * time.Millisecond })
	on := func(db beginner, aggregate string) (row int64) {
		x := w.begin(db)
		x.write(event(aggregate, "orders", `{}`))
		x.commit()
		w.rest()
		return x.events[0].Row
	}
	on(first, "a")
	on(second, "b")
	// Gaps wait for transactions, and none is open: with the next event read
	// they have been given up.
	high := on(second, "c")
	if low := on(first, "d"); low >= high {
		t.Fatalf("row %d is not behind row %d: the sequence has no cache", low, high)
	}
	if sum := r.stop(); sum.Published != 4 || sum.Strays+sum.Late != 1 {
		t.Errorf("published = %d, strays = %d, late = %d, want 4 and 1 of either", sum.Published, sum.Strays, sum.Late)
	}
	w.judge(w.pool)
}
