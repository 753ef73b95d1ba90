package dlq

import (
	"context"
	"slices"
	"sync"
	"time"
)

// maxHold is the longest time for which a message is held back at once. What
// appears again while the run lasts is held back again.
const maxHold = 15 * time.Minute

// holdTime is how long messages are to be hidden that are held back.
func (r *run) holdTime() time.Duration {
	return max(r.cfg.Visibility, min(maxHold, time.Until(r.until)+r.cfg.Grace))
}

// hold takes all that is left of a lane out of the hand and keeps it hidden. Of
// the quota, spent messages are used up.
func (r *run) hold(ctx context.Context, a *lane, spent int) {
	letters := a.letters
	a.letters = nil
	r.mu.Lock()
	a.group.held = append(a.group.held, letters...)
	r.held += len(letters)
	r.mu.Unlock()
	r.putBack(len(letters) - spent)
	if !r.stopped(ctx) { // else it is let go of at once
		r.hide(ctx, letters, r.holdTime())
	}
}

// hide hides messages for d from now on. A message for which that fails keeps
// the time that it had.
func (r *run) hide(ctx context.Context, letters []*letter, d time.Duration) {
	for part := range slices.Chunk(letters, maxEntries) {
		calling, cancel := context.WithTimeout(ctx, r.cfg.CallTimeout)
		until := time.Now().Add(d)
		errs := r.route.Queue.Hide(calling, receipts(part), d)
		cancel()
		for i, l := range part {
			if i < len(errs) && errs[i] == nil {
				l.until = until
			}
		}
	}
}

// release shows what was held back again. Of each group the last goes first:
// until the first of a group is shown, it hides those behind it, so nobody
// receives them out of order.
func (r *run) release(ctx context.Context) {
	var groups [][]*letter
	rounds := 0
	for _, g := range r.groups {
		letters := slices.DeleteFunc(g.held, func(l *letter) bool { return l.left() <= 0 })
		slices.SortFunc(letters, func(a, b *letter) int { return a.place - b.place })
		groups = append(groups, letters)
		rounds = max(rounds, len(letters))
	}
	for back := 1; back <= rounds && ctx.Err() == nil; back++ {
		var last []*letter
		for _, letters := range groups {
			// All groups end in the same round, with their first.
			if at := rounds - back; at < len(letters) {
				last = append(last, letters[at])
			}
		}
		r.show(ctx, last)
	}
}

// show makes messages of different groups visible.
func (r *run) show(ctx context.Context, letters []*letter) {
	work := make(chan []*letter)
	var workers sync.WaitGroup
	for range 2 * r.cfg.Receivers {
		workers.Go(func() {
			for part := range work {
				r.route.Queue.Hide(ctx, receipts(part), 0)
			}
		})
	}
	for part := range slices.Chunk(letters, maxEntries) {
		work <- part
	}
	close(work)
	workers.Wait()
}

func receipts(letters []*letter) []string {
	all := make([]string, len(letters))
	for i, l := range letters {
		all[i] = l.Receipt
	}
	return all
}
