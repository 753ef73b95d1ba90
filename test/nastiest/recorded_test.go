package nastiest_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/serverless-outbox/serverless-outbox/internal/testkit/history"
	"github.com/serverless-outbox/serverless-outbox/pkg/outbox"
)

// recorded returns inner as a sink that records a cause of its own for each event whose
// outcome the relay is about to see as unknown: whatever the reason, a fault or only a
// machine too busy to answer in time, the relay sends that event again.
func recorded(inner outbox.Sink, r *history.Recorder) outbox.Sink {
	return &recordedSink{Sink: inner, recorder: r}
}

type recordedSink struct {
	outbox.Sink
	recorder *history.Recorder
}

// Publish implements [outbox.Sink].
func (s *recordedSink) Publish(ctx context.Context, msgs []outbox.Message) []outbox.Result {
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
		s.recorder.Cause(history.Cause{Kind: history.UnknownOutcome, Events: unknown})
	}
	return results
}

// answers is a sink that accepts the first message of a batch and does not answer
// for the others.
type answers struct{ outbox.Sink }

func (answers) Publish(_ context.Context, msgs []outbox.Message) []outbox.Result {
	results := make([]outbox.Result, len(msgs))
	results[0].Class = outbox.Accepted
	return results
}

func TestWhatARelaySawAsUnknownExcusesOneResendOfThatEvent(t *testing.T) {
	t.Parallel()
	rec := history.New()
	known, unknown, replayed := uuid.New(), uuid.New(), uuid.New()
	lane := outbox.Lane{Destination: "d", AggregateType: "order", AggregateID: "1"}
	began := time.Now()
	rec.Committed(history.Commit{Began: began}, history.Event{EventID: known, Row: 1, Lane: lane}, history.Event{EventID: unknown, Row: 2, Lane: lane},
		history.Event{EventID: replayed, Row: 3, Lane: lane})
	rec.Cause(history.Cause{Kind: history.Replay, Events: []uuid.UUID{replayed}})
	accept := func(id uuid.UUID, suffix string) {
		rec.Accepted(history.Acceptance{EventID: id, DeduplicationID: id.String() + suffix, Destination: "d", Group: "g"})
	}
	accept(known, "")
	accept(unknown, "")
	accept(replayed, "#r1")
	recorded(answers{}, rec).Publish(t.Context(), []outbox.Message{
		{DeduplicationID: known.String()}, {DeduplicationID: unknown.String()}, {DeduplicationID: replayed.String() + "#r1"}, {DeduplicationID: "no event"},
	})
	judge := func() (withCause, without int) {
		v := rec.Check(history.Config{})
		return v.DuplicatesWithCause, v.Violations[history.Duplicated]
	}
	accept(unknown, "")
	accept(replayed, "#r1")
	if with, without := judge(); with != 2 || without != 0 {
		t.Errorf("%d resends with a cause and %d without, want 2 and 0", with, without)
	}
	accept(known, "")
	accept(unknown, "")
	if with, without := judge(); with != 2 || without != 2 {
		t.Errorf("%d resends with a cause and %d without, want 2 and 2: one more each of the known and the excused event", with, without)
	}
}
