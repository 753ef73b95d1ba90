package main

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/history"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox/outboxtest/awsfake"
)

// journal records the history of the run for the checker, and measures latencies for the line that shows
// progress. It is safe for concurrent use.
type journal struct {
	*history.Recorder

	mu sync.Mutex
	// destinations has the destination of each topic and queue by its name. It is empty until the topics and
	// queues exist.
	destinations map[string]string
	// open has the time of the commit or of the acceptance of each event of which only one of both is known yet.
	open     map[uuid.UUID]time.Time
	accepted int64                   // events since the start, without suppressed ones
	latency  *hdrhistogram.Histogram // from commit to acceptance, in microseconds, since the last call of take
}

func newJournal() *journal {
	return &journal{
		Recorder: history.New(), destinations: map[string]string{},
		open: map[uuid.UUID]time.Time{}, latency: hdrhistogram.New(1, time.Hour.Microseconds(), 3),
	}
}

// setDestinations sets j.destinations from arns, which has, by destination, the ARN of its topic or queue.
func (j *journal) setDestinations(arns map[string]string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for name, arn := range arns {
		j.destinations[arn[strings.LastIndexByte(arn, ':')+1:]] = name
	}
}

// Committed implements service.Journal: it records the events and measures latencies from the begin of their commit.
func (j *journal) Committed(c history.Commit, events ...history.Event) {
	j.Recorder.Committed(c, events...)
	j.mu.Lock()
	defer j.mu.Unlock()
	for i := range events {
		j.pair(events[i].EventID, c.Began, false)
	}
}

// onAccepted records an acceptance by the fake of a message that the relay sent. Those of messages that a topic hands to
// its queues are ignored.
func (j *journal) onAccepted(a awsfake.Accepted) {
	if a.Source != "client" {
		return
	}
	id, err := uuid.Parse(a.Attributes[outbox.AttributeEventID])
	if err != nil {
		id = uuid.Nil // The checker reports an event that was never written.
	}
	j.mu.Lock()
	destination := j.destinations[a.Name]
	if !a.Suppressed {
		j.accepted++
		j.pair(id, a.At, true)
	}
	j.mu.Unlock()
	j.Accepted(history.Acceptance{
		EventID: id, DeduplicationID: a.DeduplicationID, Destination: destination, Group: a.GroupID,
		MessageID: a.MessageID, SequenceNumber: a.SequenceNumber, At: a.At, Suppressed: a.Suppressed,
		Sum: history.Sum([]byte(a.Body)),
	})
}

// pair measures the time from the commit of an event to its acceptance once it was called with both; either may
// come first. t is the time of the acceptance if isAcceptance is set, else that of the commit. j.mu is locked
// by the caller.
func (j *journal) pair(id uuid.UUID, t time.Time, isAcceptance bool) {
	other, known := j.open[id]
	if !known {
		j.open[id] = t
		return
	}
	delete(j.open, id)
	took := other.Sub(t)
	if isAcceptance {
		took = t.Sub(other)
	}
	took = min(max(took, time.Microsecond), time.Hour)
	_ = j.latency.RecordValue(took.Microseconds()) // It is within the bounds.
}

// take returns how many events were accepted since the start, and of the latencies since the last call of take their p99,
// 0 without latencies, and their number.
func (j *journal) take() (accepted int64, p99 time.Duration, of int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	p99 = time.Duration(j.latency.ValueAtQuantile(99)) * time.Microsecond
	of = j.latency.TotalCount()
	j.latency.Reset()
	return j.accepted, p99, of
}

// finish records the state of every row of the outbox at the end of the run. When watched is false, because the broker
// did not report what it accepted, it also records an acceptance of every row that is marked as sent.
func (j *journal) finish(ctx context.Context, pool *pgxpool.Pool, watched bool) error {
	return j.ReadFinals(ctx, pool, func(r history.Row) {
		if !watched && !r.SentAt.IsZero() {
			j.Accepted(history.Acceptance{
				EventID: r.EventID, DeduplicationID: r.EventID.String(), Destination: r.Lane.Destination, Group: outbox.GroupID(r.Lane.AggregateType, r.Lane.AggregateID),
				MessageID: r.MessageID, SequenceNumber: r.SequenceNumber, At: r.SentAt,
			})
		}
	})
}
