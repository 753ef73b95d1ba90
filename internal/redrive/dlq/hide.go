package dlq

import (
	"context"
	"slices"
	"sync"
	"time"
)

// maxKeepTime is the longest time for which one call keeps a message hidden. A
// message that appears again while the run lasts is received and hidden again.
const maxKeepTime = 15 * time.Minute

// keepTime is how long a message is to be hidden that is kept hidden from now on:
// to the end of the run and the grace.
func (r *run) keepTime() time.Duration {
	return max(r.cfg.Visibility, min(maxKeepTime, time.Until(r.until)+r.cfg.Grace))
}

// keep empties the line and keeps its messages hidden. Their quota is given back,
// but for the first sent of them, which were sent and could not be deleted.
func (r *run) keep(ctx context.Context, l *line, sent int) {
	messages := l.messages
	l.messages = nil
	r.mu.Lock()
	l.group.kept = append(l.group.kept, messages...)
	r.kept += len(messages)
	r.mu.Unlock()
	r.returnQuota(len(messages) - sent)
	if !r.stopped(ctx) { // a run that has stopped shows them at once
		r.hide(ctx, messages, r.keepTime())
	}
}

// hide hides messages for d from now on. A message for which that fails keeps
// the time that it had.
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

// showKept shows all messages that were kept hidden. The last of each group goes
// first: a hidden message hides those behind it in its group, so nothing of the
// group can be received before its first message is shown.
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

// show shows messages of different groups at once.
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
