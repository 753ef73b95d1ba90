package dlq

import (
	"github.com/google/uuid"

	"github.com/serverless-outbox/serverless-outbox/internal/redrive"
)

// filter decides which messages pass the filters of a request. A message that lacks the attribute which a filter
// compares does not pass it.
type filter struct {
	req *redrive.Request
	// ids are the event ids of req, nil where it names none.
	ids map[uuid.UUID]bool
}

// newFilter returns the filter of req, which it keeps and does not change.
func newFilter(req *redrive.Request) filter {
	f := filter{req: req}
	if len(req.EventIDs) > 0 {
		f.ids = make(map[uuid.UUID]bool, len(req.EventIDs))
		for _, id := range req.EventIDs {
			f.ids[id] = true
		}
	}
	return f
}

// match reports whether a message with that identity passes all filters that are set: From, IDFrom and IDTo are
// inclusive bounds, To is exclusive.
func (f *filter) match(id *identity) bool {
	r := f.req
	switch {
	case f.ids != nil && !f.ids[id.eventID],
		r.AggregateType != "" && id.aggregateType != r.AggregateType,
		r.AggregateID != "" && id.aggregateID != r.AggregateID,
		r.EventType != "" && id.eventType != r.EventType,
		!r.From.IsZero() && (id.createdAt.IsZero() || id.createdAt.Before(r.From)),
		!r.To.IsZero() && (id.createdAt.IsZero() || !id.createdAt.Before(r.To)),
		r.IDFrom != 0 && id.row < r.IDFrom,
		r.IDTo != 0 && (id.row == 0 || id.row > r.IDTo):
		return false
	}
	return true
}
