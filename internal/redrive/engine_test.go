package redrive_test

import (
	"context"
	"testing"
	"time"

	"github.com/serverless-outbox/serverless-outbox/internal/redrive"
)

func TestEachKindOfRequestHasItsEngine(t *testing.T) {
	t.Parallel()
	var asked string
	engine := func(name string) func(context.Context, redrive.Request, time.Time) (redrive.Answer, error) {
		return func(_ context.Context, r redrive.Request, _ time.Time) (redrive.Answer, error) {
			asked = name
			return redrive.Answer{Action: r.Action}, nil
		}
	}
	engines := redrive.Engines{DLQ: engine("dlq"), Rows: engine("rows"), Replay: engine("replay")}
	for want, requests := range map[string][]redrive.Request{
		"dlq":    {{Source: redrive.SourceDLQ}, {Action: redrive.ActionRedrive, Source: redrive.SourceDLQ}},
		"rows":   {{Source: redrive.SourceDeadLetters}, {Source: redrive.SourceBlocked}},
		"replay": {{Action: redrive.ActionReplay, EventType: "e"}},
		"":       {{}, {Source: redrive.SourceDLQ, Token: "t"}, {Action: redrive.ActionReplay}},
	} {
		for _, r := range requests {
			asked = ""
			a, err := engines.Run(t.Context(), r, time.Time{})
			if asked != want || (err == nil) != (want != "") || err == nil && a.Action == "" {
				t.Errorf("%+v went to %q, want %q: answer %+v, error %v", r, asked, want, a, err)
			}
		}
	}
}
