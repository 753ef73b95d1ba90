package dlq

import (
	"context"

	"github.com/serverless-outbox/serverless-outbox/internal/redrive"
)

// admit returns the messages that are to be sent, in one line for each group. It keeps the others hidden, and adds their
// number to r.quota again. In a dry run it counts those to send as matched, keeps all hidden, and returns no line.
// It stops the run when Config.MaxHidden messages are kept hidden.
func (r *run) admit(ctx context.Context, messages []*message) []*line {
	var lines []*line
	byGroup := map[string]*line{}
	var hide []*message
	unspent := 0 // how much quota to return: messages that are not sent
	r.mu.Lock()
	limit := r.route.Target.Limits().MessageBytes
	for _, m := range messages {
		g := r.groups[m.GroupID]
		if g == nil {
			g = &group{}
			r.groups[m.GroupID] = g
		}
		if again := g.find(m.MessageID); again != nil {
			// It was kept hidden, and appeared again: its time passed, or could not be set.
			again.Receipt, again.hiddenUntil = m.Receipt, m.hiddenUntil
			hide = append(hide, again)
			unspent++
			continue
		}
		r.ordered++
		m.order = r.ordered
		wanted := r.wanted(g, m, limit)
		if wanted && !r.req.DryRun {
			l := byGroup[m.GroupID]
			if l == nil {
				l = &line{group: g}
				byGroup[m.GroupID] = l
				lines = append(lines, l)
			}
			l.messages = append(l.messages, m)
			continue
		}
		if wanted {
			r.answer.Matched++
		} else {
			unspent++
		}
		g.kept = append(g.kept, m)
		r.kept++
		hide = append(hide, m)
	}
	full := r.kept >= r.cfg.MaxHidden
	r.mu.Unlock()
	r.returnQuota(unspent)
	r.hide(ctx, hide, r.keepTime())
	if full {
		r.stop(redrive.StopTooManyHidden, nil)
	}
	return lines
}

// wanted reports whether the message is to be sent. If so it sets m.out, else it counts in the answer why not; a
// message behind a failure of its group is not counted. A refused message stops its group. It must be called for
// the messages of a group in their order. limit is the most bytes of a message. The caller must have locked r.mu.
func (r *run) wanted(g *group, m *message, limit int) bool {
	switch {
	case !r.filter.match(&m.id):
		r.answer.Skipped++
		g.skipped = true
		return false
	case g.stopped:
		return false
	case g.skipped && !r.req.Confirm:
		r.answer.Unconfirmed++
		return false
	}
	m.overtakes = g.skipped
	out, refused := r.route.outgoing(&m.Received, &m.id, limit)
	if refused != nil {
		r.fail(g, m, refused.code, refused.text)
		return false
	}
	m.out = out
	return true
}

// fail counts in the answer that the message failed, for the reason code and with the error text, and stops its
// group. The caller must have locked r.mu.
func (r *run) fail(g *group, m *message, code, text string) {
	r.answer.Fail(code, text, m.id.example(&m.Received), 1)
	r.stopGroup(g)
}

// stopGroup makes the run send nothing more of the group, and counts the group in the answer once. The caller
// must have locked r.mu.
func (r *run) stopGroup(g *group) {
	if !g.stopped {
		g.stopped = true
		r.answer.GroupsStopped++
	}
}
