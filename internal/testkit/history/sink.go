package history

import (
	"context"

	"github.com/google/uuid"

	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

// Sink returns inner as a sink that records a cause of its own for each event whose
// outcome the relay is about to see as unknown: whatever the reason, a fault or only a
// machine too busy to answer in time, the relay sends that event again.
func (r *Recorder) Sink(inner outbox.Sink) outbox.Sink { return &sink{Sink: inner, recorder: r} }

type sink struct {
	outbox.Sink
	recorder *Recorder
}

// Publish implements [outbox.Sink].
func (s *sink) Publish(ctx context.Context, msgs []outbox.Message) []outbox.Result {
	results := s.Sink.Publish(ctx, msgs)
	var unknown []uuid.UUID
	for i := range results {
		if results[i].Class == outbox.Unknown {
			// The id of an event with replays is followed by their number.
			id, err := uuid.Parse(msgs[i].DeduplicationID[:min(len(msgs[i].DeduplicationID), len(uuid.Nil.String()))])
			if err == nil {
				unknown = append(unknown, id)
			}
		}
	}
	if len(unknown) > 0 {
		s.recorder.Cause(Cause{Kind: UnknownOutcome, Events: unknown})
	}
	return results
}
