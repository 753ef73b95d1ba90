package dlq

import (
	"context"

	"github.com/serverless-outbox/serverless-outbox/internal/redrive"
)

// admit makes lanes of a hand, and holds back what is not to be sent.
func (r *run) admit(ctx context.Context, hand []*letter) []*lane {
	var lanes []*lane
	byGroup := map[string]*lane{}
	var hold []*letter
	spared := 0
	r.mu.Lock()
	limit := r.route.Target.Limits().MessageBytes
	for _, l := range hand {
		g := r.groups[l.GroupID]
		if g == nil {
			g = &group{}
			r.groups[l.GroupID] = g
		}
		if again := g.find(l.MessageID); again != nil {
			// It was held back, and its time passed or could not be set.
			again.Receipt, again.until = l.Receipt, l.until
			hold = append(hold, again)
			spared++
			continue
		}
		r.place++
		l.place = r.place
		if !r.wanted(g, l, limit) {
			g.held = append(g.held, l)
			r.held++
			hold = append(hold, l)
			spared++
			continue
		}
		if r.req.DryRun {
			r.answer.Matched++
			g.held = append(g.held, l)
			r.held++
			hold = append(hold, l)
			continue
		}
		a := byGroup[l.GroupID]
		if a == nil {
			a = &lane{group: g}
			byGroup[l.GroupID] = a
			lanes = append(lanes, a)
		}
		a.letters = append(a.letters, l)
	}
	full := r.held >= r.cfg.MaxHeld
	r.mu.Unlock()
	r.putBack(spared)
	r.hide(ctx, hold, r.holdTime())
	if full {
		r.stop(redrive.StopHeld, nil)
	}
	return lanes
}

// wanted decides about one message, in the order of its group, and counts it
// when it stays. r.mu is held.
func (r *run) wanted(g *group, l *letter, limit int) bool {
	switch {
	case !r.filter.match(&l.id):
		r.answer.Skipped++
		g.gap = true
		return false
	case g.stopped:
		return false
	case g.gap && !r.req.Confirm:
		r.answer.Unconfirmed++
		return false
	}
	l.jumps = g.gap
	msg, refused := r.route.back(&l.Dead, &l.id, limit)
	if refused != nil {
		r.failed(g, l, refused.code, refused.text)
		return false
	}
	l.msg = msg
	return true
}

// failed counts a failure and stops the group. r.mu is held.
func (r *run) failed(g *group, l *letter, code, text string) {
	r.answer.Fail(code, text, l.id.name(&l.Dead))
	r.halt(g)
}

// halt lets nothing more of the group pass. r.mu is held.
func (r *run) halt(g *group) {
	if !g.stopped {
		g.stopped = true
		r.answer.GroupsStopped++
	}
}
