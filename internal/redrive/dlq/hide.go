package dlq

import (
	"context"
	"slices"
	"sync"
	"time"
)

// maxKeepTime is the longest time for which one call keeps a message hidden. In a longer run the message appears
// again, is received again, and is hidden once more.
const maxKeepTime = 15 * time.Minute

// keepTime returns for how long to hide a message that the run will not send: until the end of the run and the grace,
// but at most maxKeepTime and at least Config.Visibility.
func (r *run) keepTime() time.Duration {
	return max(r.cfg.Visibility, min(maxKeepTime, time.Until(r.until)+r.cfg.Grace))
}

// keep takes all messages off the line and keeps them hidden. sent is how many of them were sent and could not be
// deleted: the number of the others is added to r.quota again. In a run that has stopped keep makes no call of the
// queue, since the messages are shown next.
func (r *run) keep(ctx context.Context, l *line, sent int) {
	messages := l.messages
	l.messages = nil
	r.mu.Lock()
	l.group.kept = append(l.group.kept, messages...)
	r.kept += len(messages)
	r.mu.Unlock()
	r.returnQuota(len(messages) - sent)
	if !r.stopped(ctx) {
		r.hide(ctx, messages, r.keepTime())
	}
}

// hide hides messages for d from now on, ten in a call, and sets hiddenUntil of those for which that succeeded.
// It returns no error: a message that cannot be hidden anew stays hidden for the time that it had.
func (r *run) hide(ctx context.Context, messages []*message, d time.Duration) {
	for part := range slices.Chunk(messages, maxEntries) {
		calling, cancel := context.WithTimeout(ctx, r.cfg.CallTimeout)
		until := time.Now().Add(d)
		errs := r.route.Queue.Hide(calling, receipts(part), d)
		cancel()
		for i, m := range part {
			if i < len(errs) && errs[i] == nil {
				m.hiddenUntil = until
			}
		}
	}
}

// showKept makes all messages visible again that the run keeps hidden, in each group from the last to the first,
// until ctx ends. A hidden message hides those behind it in its group, so none can be received before the first
// one is visible.
func (r *run) showKept(ctx context.Context) {
	var groups [][]*message
	rounds := 0
	for _, g := range r.groups {
		messages := slices.DeleteFunc(g.kept, func(m *message) bool { return m.timeLeft() <= 0 })
		slices.SortFunc(messages, func(a, b *message) int { return a.order - b.order })
		groups = append(groups, messages)
		rounds = max(rounds, len(messages))
	}
	for back := 1; back <= rounds && ctx.Err() == nil; back++ {
		var last []*message
		for _, messages := range groups {
			// The first messages of all groups are shown in the last round.
			if at := rounds - back; at < len(messages) {
				last = append(last, messages[at])
			}
		}
		r.show(ctx, last)
	}
}

// show makes messages of different groups visible again, with 2*Config.Receivers calls at a time. It ignores errors: a
// message for which it fails appears when its time is over.
func (r *run) show(ctx context.Context, messages []*message) {
	work := make(chan []*message)
	var workers sync.WaitGroup
	for range 2 * r.cfg.Receivers {
		workers.Go(func() {
			for part := range work {
				r.route.Queue.Hide(ctx, receipts(part), 0)
			}
		})
	}
	for part := range slices.Chunk(messages, maxEntries) {
		work <- part
	}
	close(work)
	workers.Wait()
}
